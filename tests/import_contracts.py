"""A rule of import-linter's that it does not bring along: what a room may import from outside, and nothing else.

A list of forbidden packages would have to name every package there is; this one names the allowed ones.
"""

from __future__ import annotations

import sys

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OutsideImports(Contract):
    """The modules of `source` import themselves, the standard library and `allowed`.

    `source` and `allowed` are names of packages. Every import counts, those inside functions too.
    """

    type_name = "outside_imports"

    source = fields.StringField()
    allowed = fields.SetField(subfield=fields.StringField(), required=False, default=frozenset())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Return whether the contract is kept, with the imports that break it."""
        source = str(self.source)
        if source not in graph.modules:
            raise ValueError(f"there is no package {source}")
        inside = {source, *graph.find_descendants(source)}
        known = inside | sys.stdlib_module_names | set(self.allowed)  # type: ignore[call-overload]
        broken = sorted(
            f"{module} -> {imported}"
            for module in inside
            for imported in graph.find_modules_directly_imported_by(module) - known
        )
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the imports that break the contract."""
        for each in check.metadata["broken"]:
            output.print_error(f"{each} is not allowed")
