"""The layer as a whole. import-linter knows its modules by other names than those by which they import each other."""

from __future__ import annotations

import grimp


def test_no_module_of_the_layer_imports_in_a_circle() -> None:
    assert not grimp.build_graph("aws_equipment").nominate_cycle_breakers("aws_equipment")
