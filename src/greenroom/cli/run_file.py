"""The file `run.json` of a data folder: the address of the platform that runs on it, and the keys to it.

It holds secrets, so only its owner may read it. `greenroom up` holds a lock in the same folder as long as it runs, so
that a platform that was killed is not taken for a running one: its process id may belong to another process by now.
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
    """A platform on the embedded AWS. The fields are named as in the file's JSON."""

    pid: int
    port: int
    endpointUrl: str
    accessKeyId: str
    secretAccessKey: str
    readingKeyId: str
    readingSecretKey: str
    region: str
    url: str
    token: str

    def environment(self, *, root: bool = False) -> dict[str, str]:
        """Return the variables that make the AWS CLI, boto3 and `greenroom` talk to this platform.

        Args:
            root: with the key of the embedded AWS's root, which may everything, and not of the user who reads.
        """
        return {
            "GREENROOM_URL": self.url,
            "GREENROOM_TOKEN": self.token,
            "AWS_ENDPOINT_URL": self.endpointUrl,
            "AWS_ACCESS_KEY_ID": self.accessKeyId if root else self.readingKeyId,
            "AWS_SECRET_ACCESS_KEY": self.secretAccessKey if root else self.readingSecretKey,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }


def write(data_dir: Path, run: Run) -> None:
    """Write the file in one step, readable by its owner only."""
    part = data_dir / f"{RUN_FILE}.part"
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(run), file, indent=2)
    part.replace(data_dir / RUN_FILE)


def remove(data_dir: Path) -> None:
    (data_dir / RUN_FILE).unlink(missing_ok=True)


def read(data_dir: Path) -> Run | None:
    """Return the platform that runs on a data folder; None if none does, or if it is still starting."""
    if not is_running(data_dir):
        return None
    try:
        with (data_dir / RUN_FILE).open("rb") as file:
            document = json.loads(file.read(LIMIT_BYTES))
        return Run(**{name: document[name] for name in Run.__dataclass_fields__})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        # The lock is held, but the file is missing or an old one: the platform is starting.
        return None


def is_running(data_dir: Path) -> bool:
    """Return whether a `greenroom up` holds the folder, ready or still starting."""
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
    """Hold a data folder for this process, until the block or the process ends.

    Raises:
        UsageProblem: another `greenroom up` holds it.
    """
    from greenroom.embedded.process import close_to_others

    close_to_others(data_dir)
    with (data_dir / LOCK_FILE).open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageProblem(
                "a platform already runs on this data folder",
                hint='Use it: eval "$(greenroom env)". Stop it: greenroom down. Or name another folder with --data.',
                where=str(data_dir),
            ) from None
        yield
