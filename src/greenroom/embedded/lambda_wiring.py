"""Puts Lambda's room into the embedded AWS: in place of ministack's Lambda, before ministack is imported."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from greenroom.embedded import lambda_callers, lambda_previous, lambda_stacks
from greenroom.embedded.adapters import invoking, lambda_control
from greenroom.embedded.process import ACCOUNT_ID, REGION
from greenroom.engine import Engine, can_honour, can_run
from greenroom.lambda_api import LambdaApi, Settings
from greenroom.lambda_api.invoke import Room, operations
from greenroom.lambda_api.names import Home
from greenroom.lambda_api.runtimes import Abilities
from greenroom.store import Store


@dataclass(frozen=True)
class Lambda:
    """Lambda on this machine: the API that is called, and the room in which functions run."""

    api: LambdaApi
    room: Room


def install(engine: Engine, store: Store, data_dir: Path, endpoint_url: str) -> Lambda:
    """Make it, and have ministack's services reach it. `room.start()` begins to read event sources."""
    lambda_previous.migrate(store, data_dir, Home(ACCOUNT_ID, REGION))
    settings = Settings(ACCOUNT_ID, REGION, data_dir, endpoint_url)
    api = LambdaApi(store, lambda_control.ports(), settings, Abilities(can_run, can_honour))
    room = Room(api.functions, engine, store, invoking.outside(asyncio.get_running_loop()))
    api.serve(operations(room))
    names = {**lambda_stacks.names(api), "load_persisted_state": lambda_previous.restore_streams}
    lambda_callers.install(room, names)
    lambda_stacks.install(api, store)
    return Lambda(api, room)
