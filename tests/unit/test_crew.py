"""The workers of one machine: which death ends the house, and which is mended."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from deploy.local.crew import HELD_SECONDS, Worker
from deploy.local.program import Program
from shared.backoff import LONGEST_SECONDS
from shared.clock import SimulatedClock
from shared.errors import Misconfigured
from shared.messages import Stage
from shared.worker import MISCONFIGURED_EXIT
from tests.support import eventually

SENTENCE = "metrics: the port cannot be listened on, choose another"


class Rehearsal:
    """A worker whose process says its sentence and ends with the code that is asked for."""

    def __init__(self, folder: Path) -> None:
        self._code = folder / "code"
        script = f"echo '{SENTENCE}'; exit $(cat {self._code})"
        program = Program("ingest", ["sh", "-c", script], folder=folder, environment={})
        self.worker = Worker("ingest", Stage.INGEST, program, 9101, folder)
        self.clock = SimulatedClock()

    def live(self, code: int, seconds: float = 0.0) -> None:
        """Start, live for so long, and end with this code."""
        self._code.write_text(str(code))
        self.worker.start(self.clock.monotonic())
        self._end(seconds)

    def live_again(self, code: int) -> None:
        """The pause passes, the watch starts it again, and it ends with this code."""
        self._code.write_text(str(code))
        self.clock.advance(LONGEST_SECONDS)
        self.watch()
        self._end(0.0)

    def watch(self) -> None:
        self.worker.watch(self.clock.monotonic(), structlog.get_logger())

    def _end(self, seconds: float) -> None:
        eventually(lambda: not self.worker.program.is_running, 30, "the end of the worker")
        self.clock.advance(seconds)


@pytest.fixture
def rehearsal(tmp_path: Path) -> Iterator[Rehearsal]:
    rehearsal = Rehearsal(tmp_path)
    yield rehearsal
    rehearsal.worker.stop(0)


def test_a_configuration_that_is_wrong_from_the_start_ends_the_house(rehearsal: Rehearsal) -> None:
    rehearsal.live(MISCONFIGURED_EXIT)
    with pytest.raises(Misconfigured, match=SENTENCE):
        rehearsal.watch()


def test_a_refusal_after_a_good_life_is_told_and_tried_again(rehearsal: Rehearsal) -> None:
    rehearsal.live(MISCONFIGURED_EXIT, HELD_SECONDS + 1)
    with capture_logs() as told:
        rehearsal.watch()
    assert [line["reason"] for line in told] == [SENTENCE]
    rehearsal.live_again(0)
    assert rehearsal.worker.restarts == 1


def test_a_refusal_at_a_restart_is_told_and_tried_again_however_often(rehearsal: Rehearsal) -> None:
    rehearsal.live(137)
    rehearsal.watch()
    for restarts in (1, 2, 3):
        rehearsal.live_again(MISCONFIGURED_EXIT)
        with capture_logs() as told:
            rehearsal.watch()
        assert [line["reason"] for line in told] == [SENTENCE]
        assert rehearsal.worker.restarts == restarts


def test_the_pause_before_a_restart_grows_while_it_is_refused(rehearsal: Rehearsal) -> None:
    rehearsal.live(1)
    rehearsal.watch()
    for _ in range(6):
        rehearsal.live_again(MISCONFIGURED_EXIT)
        rehearsal.watch()
    rehearsal.clock.advance(LONGEST_SECONDS / 4)
    rehearsal.watch()
    assert rehearsal.worker.restarts == 6
    rehearsal.clock.advance(LONGEST_SECONDS)
    rehearsal.watch()
    assert rehearsal.worker.restarts == 7
