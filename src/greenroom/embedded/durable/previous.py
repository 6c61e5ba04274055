"""The data of the release before the store: a JSON file for each service, and S3's objects in files of their own.

They are read once, by the code of ministack that wrote them, and stay where they are under another name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from greenroom.embedded.durable.effects import Effects
from greenroom.store import DamagedStore

STATE, OBJECTS = "state", "s3"
"""The folders that the previous release wrote."""

MOVED = "-before-store"
"""What is added to their names when everything in them is in the store."""

DATA, MIGRATED = "greenroom.data", "previous"
"""The table and the record that say that it was done."""


def is_there(data_dir: Path) -> bool:
    """Return whether a data folder has data of the previous release."""
    return any((data_dir / STATE).glob("*.json"))


def migrate(effects: Effects, data_dir: Path) -> None:
    """Move the previous release's data into the store, unless that has been done. Raises DamagedStore."""
    table = effects.store.table(DATA)
    if not is_there(data_dir):
        return
    if MIGRATED not in table:
        _read(data_dir)
        table.put(MIGRATED, {"from": "state/*.json"})
        effects.write_background()
        effects.store.barrier()
    for name in (STATE, OBJECTS):
        folder = data_dir / name
        if folder.exists():
            folder.rename(data_dir / f"{name}{MOVED}")


def _read(data_dir: Path) -> None:
    from ministack import app
    from ministack.core import persistence
    from ministack.services import s3

    for file in sorted((data_dir / STATE).glob("*.json")):
        try:
            json.loads(file.read_bytes())
        except ValueError as error:
            raise DamagedStore(f"{file} is damaged ({error})") from error
    persistence.PERSIST_STATE, persistence.STATE_DIR = True, str(data_dir / STATE)
    s3.S3_PERSIST, s3.DATA_DIR = True, str(data_dir / OBJECTS)
    try:
        s3._load_persisted_data()
        for (account, bucket), held in s3._buckets._data.items():
            for key, found in held["objects"].items():
                found["body"] = Path(s3._object_disk_path(bucket, key, account)).read_bytes()
        for service, module in app._state_map.items():
            state: Any = persistence.load_state(service)
            if state is not None:
                app._get_module(module).load_persisted_state(state)
            elif (data_dir / STATE / f"{service}.json").exists():
                raise DamagedStore(f"{data_dir / STATE / service}.json can't be read: a newer release wrote it")
    finally:
        persistence.PERSIST_STATE, s3.S3_PERSIST = False, False
