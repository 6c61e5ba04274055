"""The data folder: which format it has, and the store in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from greenroom.store import DamagedStore, NewerStore, Store
from greenroom.store.database import sync_folder, write_synced

FORMAT = 2
"""The version of the data folder. 1 was a JSON file for each service, and had no number."""

FORMAT_FILE = "format.json"

STORE = Path("store") / "records.sqlite"

HOW_TO_RESTORE = (
    "Nothing was started or changed. `greenroom restore FILE` puts a backup that `greenroom backup` made in the place "
    "of {}, and keeps what is there now"
)


def being_restored(data_dir: Path) -> Path:
    """Return the folder in which `restore` puts together what becomes the data folder."""
    return data_dir.with_name(f"{data_dir.name}.restoring")


def require_whole(data_dir: Path) -> None:
    """Raise DamagedStore where a restore ended after it had put the data folder aside."""
    if not (data_dir / FORMAT_FILE).exists() and (being_restored(data_dir) / FORMAT_FILE).exists():
        raise DamagedStore(f"a restore of {data_dir} was interrupted: run `greenroom restore FILE` again")


def open_store(data_dir: Path) -> Store:
    """Open the store of a data folder, or make it in a new one. Raises StoreError, which says what to do."""
    path = data_dir / STORE
    with saying_what_to_do(data_dir):
        # Before anything is in them: a file can be synced, and its folder's name be lost in a power cut.
        for name in ("code", "objects"):
            (data_dir / name).mkdir(exist_ok=True, mode=0o700)
        sync_folder(data_dir)
        if _format(data_dir) is None:
            store = Store(path)
            if store.commits:
                store.close()
                raise DamagedStore(f"{data_dir / FORMAT_FILE} is missing")
            write_synced(data_dir / FORMAT_FILE, json.dumps({"format": FORMAT}).encode())
            return store
        if not path.exists():
            raise DamagedStore(f"{path} is missing")
        return Store(path)


@contextmanager
def saying_what_to_do(data_dir: Path) -> Iterator[None]:
    """Add to what is damaged how to get it back."""
    try:
        yield
    except DamagedStore as error:
        raise DamagedStore(f"{error}. {HOW_TO_RESTORE.format(data_dir)}") from error


def require_code(data_dir: Path) -> None:
    """Raise DamagedStore where the ZIP of a function is damaged."""
    for file in sorted((data_dir / "code").glob("*.zip")):
        if hashlib.sha256(file.read_bytes()).hexdigest() != file.stem:
            raise DamagedStore(f"{file} is damaged (it does not agree with its SHA-256)")


def _format(data_dir: Path) -> int | None:
    """Return the version of a data folder, or None for one that has none yet."""
    file = data_dir / FORMAT_FILE
    if not file.exists():
        return None
    try:
        found = int(json.loads(file.read_bytes())["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedStore(f"{file} is damaged") from error
    if found > FORMAT:
        raise NewerStore(
            f"{data_dir} has format {found}, and this release of Greenroom reads format {FORMAT}: use the release "
            f"that wrote it, or a newer one"
        )
    return found
