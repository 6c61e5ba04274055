"""Lists in pages, as Lambda gives them: a marker says where the next page begins."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from greenroom.lambda_api.errors import invalid

Item = TypeVar("Item")

PAGE = 50
"""The most items of a page. https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html"""


def page(
    items: Sequence[Item], key: Callable[[Item], str], marker: str | None, most: int | None
) -> tuple[list[Item], dict[str, Any]]:
    """Return one page of items that are in their order, and what the answer says about the next one.

    Args:
        items: all items.
        key: what tells an item from the others.
        marker: where the page begins; None for the first page.
        most: how many items were asked for.
    """
    begin = 0
    if marker:
        before = _read(marker)
        begin = next((number for number, item in enumerate(items) if key(item) == before), len(items))
    end = begin + min(most or PAGE, PAGE)
    following = {"NextMarker": _written(key(items[end]))} if end < len(items) else {}
    return list(items[begin:end]), following


def _written(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _read(marker: str) -> str:
    try:
        return base64.urlsafe_b64decode(marker.encode()).decode()
    except (binascii.Error, ValueError) as error:
        raise invalid("Invalid value for Marker: take the NextMarker of an answer.") from error
