"""The data of the release before the store: a JSON file for each service, and S3's objects in files of their own.

They are read once, by the code of ministack that wrote them, and stay where they are under another name.
`lambda_previous` has read Lambda's part before.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from greenroom.embedded.durable import Effects
from greenroom.store import DamagedStore

STATE, OBJECTS = "state", "s3"
"""The folders that the previous release wrote."""

MOVED = "-before-store"
"""What is added to their names when everything in them is in the store."""

DATA, MIGRATED = "greenroom.data", "previous"
"""The table and the record that say that it was done."""


def migrate(effects: Effects, data_dir: Path) -> None:
    """Move the previous release's data into the store, all of it or none, unless that has been done.

    Raises DamagedStore where a file of it can't be read.
    """
    if not any((data_dir / STATE).glob("*.json")):
        return
    table = effects.store.table(DATA)
    if MIGRATED not in table:
        with effects.store.transaction():
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

    states = data_dir / STATE
    for file in sorted(states.glob("*.json")):
        try:
            json.loads(file.read_bytes())
        except ValueError as error:
            raise DamagedStore(f"{file} is damaged ({error})") from error
    persistence.PERSIST_STATE, persistence.STATE_DIR = True, str(states)
    s3.S3_PERSIST, s3.DATA_DIR = True, str(data_dir / OBJECTS)
    try:
        s3._load_persisted_data()
        for (account, bucket), held in s3._buckets._data.items():
            for key, found in held["objects"].items():
                found["body"] = Path(s3._object_disk_path(bucket, key, account)).read_bytes()
        for service, module in app._state_map.items():
            state: Any = persistence.load_state(service)
            if state is None and (states / f"{service}.json").exists():
                raise DamagedStore(f"{states / service}.json can't be read: a newer release wrote it")
            if state is not None:
                app._get_module(module).load_persisted_state(state)
    finally:
        persistence.PERSIST_STATE, s3.S3_PERSIST = False, False
