"""Which connections the commands take from the folder of a `cradle up`."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.command.connections import take_connections

KEPT = {
    "CRADLE_ARCHIVE__ENDPOINT": "http://127.0.0.1:1",
    "CRADLE_ARCHIVE__ACCESS_KEY": "of the house",
    "CRADLE_ARCHIVE__SECRET_KEY": "secret of the house",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEPT:
        monkeypatch.setenv(name, "")  # so that it is put back after the test
        monkeypatch.delenv(name)


def taken(folder: Path, archive: dict[str, Any]) -> dict[str, str | None]:
    """What the environment says afterwards."""
    (folder / "run").mkdir()
    lines = "".join(f"{name}={value}\n" for name, value in KEPT.items())
    (folder / "run" / "connections.env").write_text(lines, encoding="utf-8")
    file = folder / "cradle.yaml"
    file.write_text(yaml.safe_dump({"archive": archive}), encoding="utf-8")
    take_connections(folder, file)
    return {name: os.environ.get(name) for name in KEPT}


def test_what_the_house_filled_in_is_taken_whole(tmp_path: Path) -> None:
    assert taken(tmp_path, {"access_key": "of the file"}) == KEPT


def test_a_store_that_the_configuration_names_is_not_mistaken_for_that_of_the_house(
    tmp_path: Path,
) -> None:
    found = taken(tmp_path, {"endpoint": "http://127.0.0.1:2", "access_key": "of the file"})
    assert found == {
        "CRADLE_ARCHIVE__ENDPOINT": None,
        "CRADLE_ARCHIVE__ACCESS_KEY": None,
        "CRADLE_ARCHIVE__SECRET_KEY": "secret of the house",
    }
