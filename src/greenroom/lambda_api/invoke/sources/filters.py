"""Filter patterns of event source mappings: which records reach the function.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html, and which records each pattern lets through
is recorded in `tests/aws/services/lambda_/event_source_mapping/*.snapshot.json` of
https://github.com/localstack/localstack.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MAX_FILTERS = 10
"""https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html#filtering-syntax (a quota on request)"""

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
}


class BadPattern(ValueError):
    """A pattern that Lambda refuses."""


def parsed(pattern: str) -> Mapping[str, Any]:
    """Return a pattern. Raises BadPattern."""
    try:
        found = json.loads(pattern)
    except (ValueError, TypeError) as error:
        raise BadPattern(pattern) from error
    if not isinstance(found, dict):
        raise BadPattern(pattern)
    _check(found)
    return found


def matches(record: Any, patterns: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a record reaches the function: one of the patterns lets it through, or there is none."""
    return not patterns or any(_object_matches(record, pattern) for pattern in patterns)


def _check(pattern: Mapping[str, Any]) -> None:
    for name, rule in pattern.items():
        if isinstance(rule, dict):
            _check(rule)
        elif not isinstance(rule, list) or not rule:
            raise BadPattern(f"{name} has neither a list of rules nor fields")
        elif name == "$or":
            for choice in rule:
                if not isinstance(choice, dict):
                    raise BadPattern("$or takes objects")
                _check(choice)
        else:
            for each in rule:
                _check_rule(each)


def _check_rule(rule: Any) -> None:
    if isinstance(rule, list):
        raise BadPattern("a list in a list")
    if not isinstance(rule, dict):
        return
    if len(rule) != 1 or (name := next(iter(rule))) not in RULES:
        raise BadPattern(f"an unknown rule: {rule}")
    if name == "numeric":
        _check_numeric(rule[name])
    if name == "exists" and not isinstance(rule[name], bool):
        raise BadPattern("exists takes true or false")
    if name in ("prefix", "suffix") and not isinstance(rule[name], (str, dict)):
        raise BadPattern(f"{name} takes text")


def _check_numeric(terms: Any) -> None:
    if not isinstance(terms, list) or len(terms) not in (2, 4):
        raise BadPattern("numeric takes one or two comparisons")
    for comparison, number in zip(terms[::2], terms[1::2], strict=True):
        if comparison not in COMPARISONS or isinstance(number, bool) or not isinstance(number, (int, float)):
            raise BadPattern(f"not a comparison: {comparison} {number}")


def _object_matches(value: Any, pattern: Mapping[str, Any]) -> bool:
    return all(_field_matches(value, name, rule) for name, rule in pattern.items())


MISSING = object()


def _field_matches(value: Any, name: str, rule: Any) -> bool:
    if name == "$or" and isinstance(rule, list):
        return any(_object_matches(value, choice) for choice in rule)
    found = value.get(name, MISSING) if isinstance(value, dict) else MISSING
    if isinstance(rule, dict):
        if isinstance(found, list):
            return any(_object_matches(each, rule) for each in found)
        # A rule below a missing field may still be that there is none.
        return _object_matches(found, rule)
    return any(_leaf_matches(found, each) for each in rule)


def _leaf_matches(found: Any, rule: Any) -> bool:
    if isinstance(rule, dict):
        name, term = next(iter(rule.items()))
        if name == "exists":
            # A field with fields of its own is none that exists: only leaves are.
            return (found is not MISSING and not isinstance(found, dict)) is term
        if isinstance(found, list):
            return any(_leaf_matches(each, rule) for each in found)
        return found is not MISSING and not isinstance(found, dict) and RULES[name](found, term)
    if isinstance(found, list):
        return any(_same(each, rule) for each in found)
    return _same(found, rule)


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, (int, float)) and isinstance(wanted, (int, float)):
        return found == wanted
    return type(found) is type(wanted) and bool(found == wanted)


def _numeric(found: Any, terms: Sequence[Any]) -> bool:
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return False
    return all(COMPARISONS[how](found, number) for how, number in zip(terms[::2], terms[1::2], strict=True))


def _text_rule(test: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    def rule(found: Any, term: Any) -> bool:
        if not isinstance(found, str):
            return False
        if isinstance(term, dict):  # {"prefix": {"equals-ignore-case": …}}
            return test(found.casefold(), str(next(iter(term.values()))).casefold())
        return test(found, str(term))

    return rule


def _anything_but(found: Any, term: Any) -> bool:
    if isinstance(term, dict):
        name, inner = next(iter(term.items()))
        return name in RULES and not RULES[name](found, inner)
    return not any(_same(found, each) for each in (term if isinstance(term, list) else [term]))


def _wildcard(found: str, term: str) -> bool:
    begin, *middle = term.split("*")
    if not middle:
        return found == term
    if not found.startswith(begin):
        return False
    rest, end = found[len(begin) :], middle.pop()
    for piece in middle:
        _, met, rest = rest.partition(piece)
        if piece and not met:
            return False
    return rest.endswith(end)


RULES: dict[str, Callable[[Any, Any], bool]] = {
    "anything-but": _anything_but,
    "equals-ignore-case": _text_rule(lambda found, term: found.casefold() == term.casefold()),
    "exists": operator.is_,
    "numeric": _numeric,
    "prefix": _text_rule(str.startswith),
    "suffix": _text_rule(str.endswith),
    "wildcard": _text_rule(_wildcard),
}
"""Each rule by its name. `exists` is decided before: it is the one that a missing field can match."""
