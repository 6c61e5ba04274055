"""The smallest algorithm there is."""

from __future__ import annotations

from typing import Any


class Hello:
    """Greets."""

    def translate(self, document: dict[str, Any]) -> dict[str, str]:
        """Return a greeting for the document's `name`."""
        return {"greeting": f"hello {document['name']}"}
