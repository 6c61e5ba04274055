"""A DynamoDB table with Python's values, and a condition that does not hold as an exception of its own.

Knows DynamoDB and nothing of what the table holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MAX_BATCH_GET = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""

CONDITION_FAILED = frozenset({"ConditionalCheckFailedException", "TransactionCanceledException"})
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html"""

EXISTS = "attribute_exists(pk)"
"""The condition that there is an item already. Every table of Greenroom has the primary key (`pk`, `sk`)."""

Item = dict[str, Any]
Key = Mapping[str, str]


class ConditionFailed(RuntimeError):
    """An item is not as a write requires: nothing was written."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What must hold for a write, as an expression; `names` are its `#names` and `values` its `:values`."""

    expression: str
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Update:
    """A change of an item and what must hold for it, as expressions that share `names` and `values`."""

    key: Key
    expression: str
    condition: str
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which items to read, in the order of the sort key. Without an index the read is consistent."""

    condition: str
    values: Mapping[str, Any]
    index: str | None = None
    attributes: Sequence[str] = ()
    descending: bool = False


class Table:
    """The table `name`, through `client`."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._client = client
        self.name = name

    def get(self, key: Key) -> Item | None:
        """Return an item, read consistently, or None."""
        item = self._client.get_item(TableName=self.name, Key=pack(key), ConsistentRead=True).get("Item")
        return None if item is None else unpack(item)

    def get_all(self, keys: Sequence[Key], attributes: Sequence[str]) -> Iterator[Item]:
        """Yield some attributes of those of these items that exist, read consistently, in any order."""
        left: list[Any] = [pack(key) for key in keys]
        while left:
            asked: Any = {"Keys": left[:MAX_BATCH_GET], "ConsistentRead": True, **_projection(attributes)}
            answer = self._client.batch_get_item(RequestItems={self.name: asked})
            unprocessed = answer["UnprocessedKeys"].get(self.name)
            left = [*(unprocessed["Keys"] if unprocessed else ()), *left[MAX_BATCH_GET:]]
            yield from map(unpack, answer["Responses"].get(self.name, ()))

    def query(self, query: Query, limit: int) -> Iterator[Item]:
        """Yield at most `limit` items."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self.name, PaginationConfig={"MaxItems": limit}, **_query(query)
        )
        for page in pages:
            yield from map(unpack, page["Items"])

    def query_page(self, query: Query, limit: int) -> tuple[list[Item], bool]:
        """Return at most `limit` items, and whether there may be more."""
        page = self._client.query(TableName=self.name, Limit=limit, **_query(query))
        return [unpack(item) for item in page["Items"]], bool(page.get("LastEvaluatedKey"))

    def put(self, item: Item, condition: Condition | None = None) -> None:
        """Write an item in place of the one with its key. Raises ConditionFailed."""
        try:
            self._client.put_item(TableName=self.name, Item=pack(item), **_condition(condition))
        except ClientError as error:
            raise _refused(error) from error

    def update(self, update: Update) -> None:
        """Change an item. Raises ConditionFailed."""
        self._update(update)

    def count(self, key: Key, counter: str) -> int:
        """Add one to an attribute of an item, and return the sum. Raises ConditionFailed if there is no item."""
        counted = Update(
            key=key,
            expression="ADD #counter :one",
            condition=EXISTS,
            names={"#counter": counter},
            values={":one": 1},
        )
        return int(self._update(counted, ReturnValues="UPDATED_NEW")[counter])

    def change(self, update: Update) -> Item:
        """Change an item, and return what it was before. Raises ConditionFailed."""
        return self._update(update, ReturnValues="ALL_OLD")

    def _update(self, update: Update, **options: Any) -> Item:
        try:
            answer = self._client.update_item(TableName=self.name, **_update(update), **options)
        except ClientError as error:
            raise _refused(error) from error
        return unpack(answer.get("Attributes", {}))

    def update_together(self, updates: Sequence[Update]) -> None:
        """Change some items in one transaction: all of them or none. Raises ConditionFailed."""
        writes: list[Any] = [{"Update": {"TableName": self.name, **_update(update)}} for update in updates]
        try:
            self._client.transact_write_items(TransactItems=writes)
        except ClientError as error:
            raise _refused(error) from error

    def delete(self, key: Key, condition: Condition) -> None:
        """Delete an item. Raises ConditionFailed."""
        try:
            self._client.delete_item(TableName=self.name, Key=pack(key), **_condition(condition))
        except ClientError as error:
            raise _refused(error) from error


def _refused(error: ClientError) -> Exception:
    failed = error.response["Error"]["Code"] in CONDITION_FAILED
    return ConditionFailed(str(error)) if failed else error


def _query(query: Query) -> dict[str, Any]:
    where: dict[str, Any] = {"IndexName": query.index} if query.index else {"ConsistentRead": True}
    return {
        **where,
        "KeyConditionExpression": query.condition,
        "ExpressionAttributeValues": pack(query.values),
        "ScanIndexForward": not query.descending,
        **(_projection(query.attributes) if query.attributes else {}),
    }


def _projection(attributes: Sequence[str]) -> dict[str, Any]:
    # Some of the names are DynamoDB's reserved words.
    aliases = {f"#a{number}": name for number, name in enumerate(attributes)}
    return {"ProjectionExpression": ", ".join(aliases), "ExpressionAttributeNames": aliases}


def _update(update: Update) -> dict[str, Any]:
    condition = Condition(expression=update.condition, names=update.names, values=update.values)
    return {"Key": pack(update.key), "UpdateExpression": update.expression, **_condition(condition)}


def _condition(condition: Condition | None) -> dict[str, Any]:
    if condition is None:
        return {}
    arguments: dict[str, Any] = {"ConditionExpression": condition.expression}
    # DynamoDB refuses an empty map.
    if condition.names:
        arguments["ExpressionAttributeNames"] = dict(condition.names)
    if condition.values:
        arguments["ExpressionAttributeValues"] = pack(condition.values)
    return arguments


_SERIALIZER = TypeSerializer()


def pack(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as DynamoDB's API takes them."""
    return {key: _SERIALIZER.serialize(_decimal(value)) for key, value in item.items()}


def unpack(item: Mapping[str, Any]) -> Item:
    """Return values as Python has them; numbers are decimals."""
    return {key: _value(value) for key, value in item.items()}


def _value(typed: Mapping[str, Any]) -> Any:
    """Return what boto3's own deserializer returns for the types that are used here, in a third of the time."""
    ((kind, value),) = typed.items()
    match kind:
        case "S" | "BOOL":
            return value
        case "N":
            return Decimal(value)
        case "L":
            return [_value(each) for each in value]
        case "M":
            return unpack(value)
        case "NULL":
            return None
    raise TypeError(f"values of DynamoDB's type {kind} are not read here")


def _decimal(value: Any) -> Any:
    """Return a float as the decimal of its shortest text, which is what DynamoDB takes; in a list too."""
    if isinstance(value, list):
        return [_decimal(each) for each in value]
    return Decimal(repr(value)) if isinstance(value, float) else value
