from __future__ import annotations

from collections.abc import Iterator

import pytest

from greenroom.cli.main import main
from tests.unit.cli.running import Command, Ended
from tests.unit.client.stand_in_api import TOKEN, StandInApi


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInApi]:
    server = StandInApi()
    monkeypatch.setenv("GREENROOM_URL", server.url)
    monkeypatch.setenv("GREENROOM_TOKEN", TOKEN)
    yield server
    server.stop()


@pytest.fixture
def greenroom(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command line as the entry point does, in this process."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr("sys.argv", ["greenroom", *(str(argument) for argument in arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run
