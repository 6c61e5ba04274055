"""From rules at the interfaces of machines to one list for a firewall in the path.

The source enforces its rules twice: where a flow leaves its source, if that is one of its machines, and where it enters
its destination, if that is one. An access list sees a flow once. So the list that is written here has, for each flow,
the verdict of both.

Two first-match lists that must both allow are one list: for each entry of the first, all entries of the second, each
pair with the traffic that both match; it allows where both allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .policy import Box, Policy, Rule
from .ranges import EVERY_ADDRESS, Ranges, covers, intersect, subtract

Entry = tuple[Rule, tuple[Box, ...]]


@dataclass(frozen=True)
class Line:
    """What one or two rules together say of some traffic. Without rules it closes a section of the list."""

    allows: bool
    boxes: tuple[Box, ...]
    rules: tuple[Rule, ...]
    about: str = ""

    @property
    def logged(self) -> bool:
        """Whether a rule of it asks for a log."""
        return any(rule.logged for rule in self.rules)


def end_to_end(policy: Policy) -> list[Line]:
    """Return one first-match list with the verdict of both ends of a flow."""
    if all(_everywhere(rule) for rule in policy.rules if rule.allows):
        return list(_one_section(policy))
    machines = policy.known
    if policy.without_address:
        policy.warn(
            "rules for one direction, or applied to some machines, can't be told apart from the others where a machine "
            f"has no known address: {', '.join(policy.without_address)}",
            effect="traffic must be allowed in both directions, whatever its ends are",
        )
        machines = EVERY_ADDRESS
    both = [_at_ends(policy, rule, machines, machines, inwards) for rule in policy.rules for inwards in (True, False)]
    lines = list(_pairs(both[::2], both[1::2]))
    lines.append(_closing(machines, machines, "from machine to machine: nothing else"))
    if machines != EVERY_ADDRESS:
        entering = [_at_ends(policy, rule, EVERY_ADDRESS, machines, True) for rule in policy.rules]
        lines += [Line(rule.allows, _outside(machines, boxes), (rule,)) for rule, boxes in entering]
        lines.append(_closing(EVERY_ADDRESS, machines, "to a machine: nothing else"))
        leaving = [_at_ends(policy, rule, machines, EVERY_ADDRESS, False) for rule in policy.rules]
        lines += [Line(rule.allows, _outside(machines, boxes), (rule,)) for rule, boxes in leaving]
    return list(_reached(lines))


def _reached(lines: list[Line]) -> Iterator[Line]:
    """The lines without those that close a section where a rule has closed it already."""
    denies: list[Line] = []
    for line in lines:
        if not line.boxes or (not line.rules and any(_cover(deny.boxes, line.boxes) for deny in denies)):
            continue
        if not line.allows:
            denies.append(line)
        yield line


def _everywhere(rule: Rule) -> bool:
    return rule.applied_to is None and rule.direction == "in-out"


def _one_section(policy: Policy) -> Iterator[Line]:
    """The rules as they are: all that allow do so at both ends, so that a flow meets the same ones at each."""
    for rule in policy.rules:
        if _everywhere(rule):
            ends = [(EVERY_ADDRESS, EVERY_ADDRESS)]
        else:
            machines = policy.applied_to(rule, widest=True)
            ends = []
            if rule.direction != "out":
                ends.append((EVERY_ADDRESS, machines))
            if rule.direction != "in":
                ends.append((machines, EVERY_ADDRESS))
            if policy.without_address and rule.applied_to != frozenset():
                policy.warn(
                    f"no address is known of {', '.join(policy.without_address)}",
                    rule,
                    effect="the deny holds any address they might have",
                )
        boxes = [box for sources, destinations in ends for box in _boxes(policy, rule, sources, destinations)]
        if boxes:
            yield Line(rule.allows, tuple(boxes), (rule,))


def _boxes(policy: Policy, rule: Rule, sources: Ranges, destinations: Ranges) -> Iterator[Box]:
    widest = not rule.allows
    return rule.boxes(
        intersect(policy.addresses(rule.sources, widest=widest), sources),
        intersect(policy.addresses(rule.destinations, widest=widest), destinations),
    )


def _at_ends(policy: Policy, rule: Rule, sources: Ranges, destinations: Ranges, inwards: bool) -> Entry:
    """A rule as it is met where traffic enters its destination, or leaves its source, between some addresses."""
    if rule.direction == ("out" if inwards else "in"):
        return rule, ()
    if rule.applied_to is not None:
        applied = policy.applied_to(rule, widest=not rule.allows)
        if inwards:
            destinations = intersect(destinations, applied)
        else:
            sources = intersect(sources, applied)
    return rule, tuple(_boxes(policy, rule, sources, destinations))


def _pairs(entering: list[Entry], leaving: list[Entry]) -> Iterator[Line]:
    for place, (rule, boxes) in enumerate(entering):
        if not boxes:
            continue
        if not rule.allows:
            yield Line(False, boxes, (rule,))
            continue
        for other_place, (other, others) in enumerate(leaving):
            if other_place < place and _everywhere(other):
                continue  # It was met before where the traffic enters, with the same traffic.
            met = boxes if others == boxes else tuple(_meet(boxes, others))
            if met:
                yield Line(other.allows, met, (rule,) if other is rule else (rule, other))
                if _cover(others, boxes):
                    break


def _meet(boxes: Iterable[Box], others: tuple[Box, ...]) -> Iterator[Box]:
    for box in boxes:
        for other in others:
            met = box.intersect(other)
            if met is not None:
                yield met


def _cover(outer: tuple[Box, ...], inner: tuple[Box, ...]) -> bool:
    return all(any(not box.subtract(other) for other in outer) for box in inner)


def _outside(machines: Ranges, boxes: tuple[Box, ...]) -> tuple[Box, ...]:
    """The boxes without those from machine to machine only: these are decided before."""
    return tuple(box for box in boxes if not (covers(machines, box.sources) and covers(machines, box.destinations)))


def _closing(sources: Ranges, destinations: Ranges, about: str) -> Line:
    families = ((0, 2**32 - 1),), subtract(EVERY_ADDRESS, ((0, 2**32 - 1),))
    boxes = [Box(intersect(sources, each), intersect(destinations, each)) for each in families]
    return Line(False, tuple(box for box in boxes if box.sources and box.destinations), (), about)
