"""The page of the fault suite: each command writes its own part and leaves the others'."""

from pathlib import Path

import pytest

from tests.faults.page import _is_death, _must_be_noticed, _worst
from tests.faults.steps import FREEZES
from tests.faults.strikes import ALL
from tests.sections import write_section


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text("# Reliability\n\nFigures.\n", encoding="utf-8")
    return path


def test_a_section_is_put_in_its_place_and_nothing_else_is_touched(page: Path) -> None:
    write_section(page, "outages", "first\n")
    write_section(page, "other", "beside\n")
    write_section(page, "outages", "second\n")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Reliability\n\nFigures.\n")
    assert "first" not in text
    assert text.count("second") == text.count("beside") == 1


def test_the_same_section_again_changes_nothing(page: Path) -> None:
    write_section(page, "outages", "figures\n")
    before = page.read_text(encoding="utf-8")
    write_section(page, "outages", "figures\n")
    assert page.read_text(encoding="utf-8") == before


def test_the_worst_of_what_is_meant_is_told_with_its_name() -> None:
    times = {"kill encoder": 2.0, "kill broker": 9.0, "kill ingest": 3.0}
    assert _worst(times, _is_death) == (3.0, "3.0 s (kill ingest)")
    assert _worst({}, _is_death) == (0.0, "not tried")


def test_deaths_and_silences_are_told_apart() -> None:
    deaths = {kind for kind in ALL if _is_death(kind)}
    silences = {kind for kind in ALL if _must_be_noticed(kind)}
    assert {"kill encoder", "kill ingest between publish and confirm"} <= deaths
    assert not {"kill broker", "kill store"} & deaths
    assert silences == {
        *("freeze ingest", "freeze encoder", "freeze archiver", "camera silent"),
        *FREEZES,
        *(f"network of {stage} cut" for stage in ("ingest", "encoder", "archiver")),
    }
