"""What the other drawings are made of: headings, tables, and the colours and meanings of statuses."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.table import Table
from rich.text import Text

from greenroom.cli.text import clean

STATUS_STYLES = {
    "LIVE": "bold green",
    "FAILED": "bold red",
    "REJECTED": "bold red",
    "ROLLED_BACK": "yellow",
    "SUPERSEDED": "yellow",
    "RETIRED": "dim",
}
STATUS_MEANINGS = {
    "UPLOADING": "waiting for the package",
    "REGISTERED": "package read and checked",
    "PROVISIONING": "creating or updating the algorithm's stack",
    "PROVISIONED": "stack ready, waiting for the test",
    "TESTING": "tested backstage, next to the live version",
    "LIVE": "serving: the alias prod leads to it",
    "RETIRED": "was live; a newer release is live now",
    "REJECTED": "the package has a fault; nothing was created",
    "FAILED": "did not pass; the live version has not changed",
    "SUPERSEDED": "a newer upload came first",
    "ROLLED_BACK": "was live, and was rolled back",
}
"""What a status means, for a person who sees it for the first time."""
BAD_ENDS = frozenset({"FAILED", "REJECTED"})


def status_text(status: str) -> Text:
    return Text(clean(status), style=STATUS_STYLES.get(status, "cyan"))


def heading(title: str) -> Text:
    return Text(title, style="bold underline")


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    """Return an empty table; the columns in `right` hold numbers, a last column of words gets all the room left."""
    words = columns[-1] in ("reason", "error")
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim", expand=words)
    for column in columns:
        # Words get the room that the other columns leave, and are cut off at its end.
        share = 1 if words and column == columns[-1] else None
        made.add_column(column, justify="right" if column in set(right) else "left", no_wrap=True, ratio=share)
    return made
