"""The short form of the fault suite (`make faults` is the long one)."""

from pathlib import Path

import pytest

from tests.faults.page import OVERLAP_SECONDS, summary
from tests.faults.scene import scene
from tests.faults.steps import STEPS
from tests.faults.trial import BATCH_SECONDS, run
from tests.starving import starving

SEED = 7
SHORT = (
    *STEPS,
    "kill encoder",
    "kill ingest",
    "kill archiver",
    "freeze ingest briefly",
    "freeze archiver",
    "archiver queue deleted",
    "poison messages",
    "store's answers lost",
    "kill broker and ingest",
    "broker loses its data",
    "frame store full",
    "fragments deleted",
    "camera changes resolution",
    "broker closes all connections",
    "kill store",
    "kill all workers",
)


@pytest.mark.timeout(420)
def test_no_fault_loses_repeats_or_overwrites_anything(tmp_path: Path) -> None:
    with starving() as machine, scene(tmp_path, SEED) as house:
        found = run(house, SEED, seconds=0, names=SHORT, rest_seconds=(0.5, 2.0))
        stood_seconds = machine.longest_seconds
    print(summary(found))
    assert found.verdict.is_clean, found.verdict
    assert found.verdict.frames > 0
    assert not found.missed
    assert not found.fallen
    assert not found.overwritten
    assert not found.live_faults
    assert found.taken
    assert found.overlap_seconds <= OVERLAP_SECONDS
    # Who was not let run had nothing to write either.
    assert max(found.cut_off_seconds) - stood_seconds <= 2 * BATCH_SECONDS, (
        "the machine may be busy"
    )
