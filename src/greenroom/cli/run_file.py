"""The file `run.json` of a data folder: where the platform that runs on it is, and the keys to it.

It holds secrets, so only its owner may read it. A lock beside it, held as long as `greenroom up` runs, tells a platform
that runs from one that was killed: a process id alone may by now be somebody else's.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from greenroom.cli.errors import UsageProblem

RUN_FILE, LOCK_FILE = "run.json", "up.lock"
LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True)
class Run:
    """A platform on the embedded AWS. The names are those of the file's JSON."""

    pid: int
    port: int
    endpointUrl: str
    accessKeyId: str
    secretAccessKey: str
    region: str
    url: str
    token: str

    def environment(self) -> dict[str, str]:
        """What makes the AWS CLI, boto3 and `greenroom` talk to this platform."""
        return {
            "GREENROOM_URL": self.url,
            "GREENROOM_TOKEN": self.token,
            "AWS_ENDPOINT_URL": self.endpointUrl,
            "AWS_ACCESS_KEY_ID": self.accessKeyId,
            "AWS_SECRET_ACCESS_KEY": self.secretAccessKey,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }


def write(data_dir: Path, run: Run) -> None:
    """Writes the file whole or not at all, readable by its owner only."""
    part = data_dir / f"{RUN_FILE}.part"
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(run), file, indent=2)
    part.replace(data_dir / RUN_FILE)


def remove(data_dir: Path) -> None:
    (data_dir / RUN_FILE).unlink(missing_ok=True)


def read(data_dir: Path) -> Run | None:
    """What runs on a data folder; None when nothing does, whatever a process that was killed left behind."""
    if not is_running(data_dir):
        return None
    try:
        with (data_dir / RUN_FILE).open("rb") as file:
            document = json.loads(file.read(LIMIT_BYTES))
        return Run(**{name: document[name] for name in Run.__dataclass_fields__})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        # The lock is held and the file not yet there, or not yet ours: it is starting.
        return None


def is_running(data_dir: Path) -> bool:
    """Whether a `greenroom up` holds the folder, be it ready or still starting."""
    try:
        with (data_dir / LOCK_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except BlockingIOError:
        return True
    return False


def check_free(data_dir: Path) -> None:
    """Make the folder, and check that no `greenroom up` holds it. Raises UsageProblem."""
    with held(data_dir):
        pass


@contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """Holds a data folder for this process, and lets go of it when the block or the process ends, however that ends.

    Raises:
        UsageProblem: another `greenroom up` holds it.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (data_dir / LOCK_FILE).open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageProblem(
                "a platform runs on this data folder already",
                hint='Use it: eval "$(greenroom env)". Stop it: greenroom down. Or give another folder with --data.',
                where=str(data_dir),
            ) from None
        yield
