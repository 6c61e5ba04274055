"""The points at which a kill comes, each found by looking from outside; none needs help from the code that is killed.

A point is reached when `reached` says so: it looks at most a few hundred times a second. `errand` names what the
platform is asked for meanwhile, and `victim` what is killed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.crash.errands import FIRST, LAST
from tests.crash.eyes import Eyes
from tests.crash.ledger import Ledger

Errand = Literal["new", "next", "broken", "roll back", "stream", "nothing"]
Victim = Literal["server", "starting server", "engine", "up"]


@dataclass
class Scene:
    """What a point is looked for in: a platform, what it has answered since the cycle began, and its data folder."""

    eyes: Eyes
    ledger: Ledger
    before: Ledger
    data: Path
    algorithm: str
    memory: dict[str, Any]

    @property
    def release_id(self) -> str | None:
        """The release that the cycle's errand has pushed."""
        new = [each for each in self.ledger.allowed if each not in self.before.allowed]
        return new[-1] if new else None

    @property
    def status(self) -> str | None:
        """The present status of that release, in the registry."""
        return self.eyes.item(self.release_id).get("status") if self.release_id else None

    def has(self, part: str) -> bool:
        """Whether that release has an item whose sort key begins so."""
        return self.release_id is not None and any(sk.startswith(part) for sk in self.eyes.parts(self.release_id))


@dataclass(frozen=True)
class Point:
    """A point of the flow."""

    name: str
    errand: Errand
    reached: Callable[[Scene], Any]
    victim: Victim = "server"


def _status(*wanted: str) -> Callable[[Scene], bool]:
    return lambda scene: scene.status in wanted


def _shown(status: str) -> Callable[[Scene], bool]:
    def look(scene: Scene) -> bool:
        upload = scene.ledger.uploads.get(scene.release_id or "")
        return upload is not None and status in upload.shown

    return look


def _uploaded(scene: Scene) -> bool:
    return scene.release_id in scene.ledger.uploads


def _stack_begun(scene: Scene) -> bool:
    return scene.eyes.stack_status(scene.algorithm) is not None


def _function_there(scene: Scene) -> bool:
    return scene.eyes.versions(scene.algorithm) is not None


def _test_alias(scene: Scene) -> bool:
    return any(alias.startswith("test-") for alias in scene.eyes.aliases(scene.algorithm) or ())


def _prod_moved(scene: Scene) -> bool:
    """Alias `prod` leads elsewhere than when the cycle began."""
    now = (scene.eyes.aliases(scene.algorithm) or {}).get("prod")
    return bool(now) and now != scene.memory.get("prod")


def _sent(scene: Scene) -> bool:
    return len(scene.ledger.sent) > len(scene.before.sent)


def _on_its_way(scene: Scene) -> bool:
    """A message is between the two algorithms."""
    depth = scene.eyes.depth(f"{scene.eyes.function(LAST)}-input")
    return _sent(scene) and depth is not None and any(depth)


def _answered(scene: Scene) -> bool:
    return len(scene.ledger.answers) > len(scene.before.answers)


def _rolled_back(scene: Scene) -> bool:
    return len(scene.ledger.rolled_back) > len(scene.before.rolled_back)


def _writing(scene: Scene) -> bool:
    """A file of the state has just been written, or is being written, while a release is on its way."""
    newest = max((path.stat().st_mtime_ns for path in scene.data.rglob("*") if _is_state(scene.data, path)), default=0)
    changed, scene.memory["newest"] = newest != scene.memory.get("newest", newest), newest
    return changed and scene.status not in (None, "UPLOADING")


def _is_state(data: Path, path: Path) -> bool:
    try:
        return path.is_file() and path.relative_to(data).parts[0] not in ("engine", "s3") and path.suffix != ".log"
    except OSError:
        return False


def _at_once(_: Scene) -> bool:
    return True


POINTS = (
    Point("upload allowed", "next", lambda scene: scene.release_id),
    Point("package accepted", "next", _uploaded),
    Point("registered", "next", _status("REGISTERED")),
    Point("lock taken, provisioning", "next", _status("PROVISIONING")),
    Point("stack of a new algorithm begun", "new", _stack_begun),
    Point("function of a new algorithm made", "new", _function_there),
    Point("provisioned", "next", _status("PROVISIONED")),
    Point("testing", "next", _status("TESTING")),
    Point("version published, test alias there", "next", _test_alias),
    Point("measured", "next", lambda scene: scene.has("PROGRESS#")),
    Point("decided", "next", lambda scene: scene.has("SUMMARY")),
    Point("decided against", "broken", lambda scene: scene.has("SUMMARY")),
    Point("prod moved", "next", _prod_moved),
    Point("prod made, queue not yet attached", "new", _prod_moved),
    Point("shown LIVE", "next", _shown("LIVE")),
    Point("message accepted", "stream", _sent),
    Point("message between two algorithms", "stream", _on_its_way),
    Point("answer shown", "stream", _answered),
    Point("during a rollback", "roll back", _prod_moved),
    Point("rollback answered", "roll back", _rolled_back),
    Point("inside a save or a commit", "next", _writing),
    Point("inside a start", "next", _status("TESTING"), "starting server"),
    Point("the engine alone", "next", _status("TESTING", "PROVISIONING"), "engine"),
    Point("greenroom up alone", "next", _status("TESTING", "PROVISIONED"), "up"),
)
"""Before and after each durable step; `FIRST` is what is pushed, unless the point needs a new algorithm."""

AT_RANDOM = Point("at random", "next", _at_once)
"""A moment that the seed gives, after the errand began."""

__all__ = ["AT_RANDOM", "FIRST", "POINTS", "Point", "Scene"]
