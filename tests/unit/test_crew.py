"""The workers of one machine: which death ends the house, which is mended, and who hangs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from deploy.local.crew import HELD_SECONDS, REFUSED_SECONDS, Worker
from deploy.local.ports import free_ports
from deploy.local.program import Program
from deploy.local.vigil import FIRST_ANSWER_SECONDS, HUNG_SECONDS, Vigil, patience_seconds
from shared.backoff import LONGEST_SECONDS
from shared.clock import SimulatedClock
from shared.config import from_mapping
from shared.errors import Misconfigured
from shared.health import FRESH_SECONDS, Health
from shared.messages import Stage
from shared.worker import MISCONFIGURED_EXIT
from tests.support import eventually

SENTENCE = "metrics: the port cannot be listened on, choose another"


class Rehearsal:
    """A worker whose process says its sentence and ends with the code that is asked for."""

    def __init__(self, folder: Path, stage: Stage = Stage.INGEST) -> None:
        self._code = folder / "code"
        script = f"echo '{SENTENCE}'; exit $(cat {self._code})"
        program = Program(stage, ["sh", "-c", script], folder=folder, environment={})
        vigil = Vigil("127.0.0.1", free_ports(1)[0])
        self.worker = Worker(stage, stage, program, 9101, folder, vigil)
        self.clock = SimulatedClock()

    def live(self, code: int, seconds: float = 0.0) -> None:
        """Start, live for so long, and end with this code."""
        self._code.write_text(str(code))
        self.worker.start(self.clock.monotonic())
        self._end(seconds)

    def live_again(self, code: int, pause_seconds: float = LONGEST_SECONDS) -> None:
        """The pause passes, the watch starts it again, and it ends with this code."""
        self._code.write_text(str(code))
        self.clock.advance(pause_seconds)
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


def test_an_analyzer_that_is_refused_is_told_of_once_and_tried_again_ever_more_seldom(
    tmp_path: Path,
) -> None:
    rehearsal = Rehearsal(tmp_path, Stage.ANALYZER)
    rehearsal.live(MISCONFIGURED_EXIT)
    with capture_logs() as told:
        rehearsal.watch()
        for _ in range(9):
            rehearsal.live_again(MISCONFIGURED_EXIT, REFUSED_SECONDS)
            rehearsal.watch()
    assert [line["reason"] for line in told if line["action"] == "crew.died"] == [SENTENCE]
    assert rehearsal.worker.refusal == SENTENCE
    rehearsal.clock.advance(LONGEST_SECONDS)
    rehearsal.watch()
    assert rehearsal.worker.restarts == 9
    rehearsal.live_again(0, REFUSED_SECONDS)
    rehearsal.watch()
    assert rehearsal.worker.refusal is None
    rehearsal.worker.stop(0)


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


# -- workers that hang -----------------------------------------------------------------------------

LOOK_EVERY = 1.0
"""About so often a house looks at its crew."""


class Sleeper:
    """A worker that runs on; whether its loop turns is for the test to say."""

    def __init__(self, folder: Path, *, answers: bool = True) -> None:
        self.clock = SimulatedClock()
        self.health = Health(self.clock)
        port = self.health.serve("0.0.0.0", 0) if answers else free_ports(1)[0]
        program = Program("encoder", ["sleep", "600"], folder=folder, environment={})
        vigil = Vigil("0.0.0.0", port)
        self.worker = Worker("encoder", Stage.ENCODER, program, port, folder, vigil)
        self.worker.start(self.clock.monotonic())
        self.told: list[str] = []

    def pass_by(self, seconds: float, *, turn_every: float | None = None) -> None:
        """So much time passes; the loop turns every so often, or not at all."""
        ends, turn_at = self.clock.monotonic() + seconds, self.clock.monotonic()
        while self.clock.monotonic() < ends:
            if turn_every is not None and self.clock.monotonic() >= turn_at:
                self.health.beat()
                turn_at += turn_every
            with capture_logs() as told:
                self.worker.watch(self.clock.monotonic(), structlog.get_logger())
            self.told += [f"{line['action']}: {line.get('reason')}" for line in told]
            self.clock.advance(LOOK_EVERY)

    def is_killed(self) -> bool:
        """Its log says so."""
        return any(line.startswith("crew.hung") for line in self.told)


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Sleeper]:
    sleeper = Sleeper(tmp_path)
    yield sleeper
    sleeper.worker.stop(0)


def test_a_worker_whose_loop_does_not_turn_is_killed_with_a_reason_and_started_again(
    sleeper: Sleeper,
) -> None:
    first = sleeper.worker.program.pid
    sleeper.pass_by(HUNG_SECONDS)
    assert not sleeper.is_killed()
    sleeper.pass_by(FRESH_SECONDS + 10)
    (hung,) = (line for line in sleeper.told if line.startswith("crew.hung"))
    assert "its loop does not turn, seen for 6" in hung

    def is_back() -> bool:
        sleeper.pass_by(LOOK_EVERY, turn_every=LOOK_EVERY)
        return sleeper.worker.program.is_running and sleeper.worker.program.pid != first

    eventually(is_back, 30, "another process")
    assert sleeper.worker.restarts == 1


@pytest.mark.parametrize("turn_every", [5.0, HUNG_SECONDS])
def test_a_worker_that_is_only_slow_is_left_alone(sleeper: Sleeper, turn_every: float) -> None:
    sleeper.pass_by(10 * HUNG_SECONDS, turn_every=turn_every)
    assert sleeper.told == []


def test_a_pause_of_the_whole_machine_kills_nobody(sleeper: Sleeper) -> None:
    sleeper.pass_by(2 * HUNG_SECONDS, turn_every=1)
    sleeper.pass_by(FRESH_SECONDS + 5)
    sleeper.clock.advance(3600)
    sleeper.pass_by(FRESH_SECONDS)
    sleeper.pass_by(HUNG_SECONDS, turn_every=1)
    assert sleeper.told == []


def test_a_worker_that_a_frozen_broker_holds_up_is_left_alone() -> None:
    assert patience_seconds(HUNG_SECONDS, from_mapping({})) == HUNG_SECONDS
    settings = from_mapping({"broker": {"heartbeat_seconds": 60}})
    assert patience_seconds(HUNG_SECONDS, settings) == 3 * 60


def test_a_worker_that_has_never_answered_may_still_be_starting(tmp_path: Path) -> None:
    sleeper = Sleeper(tmp_path, answers=False)
    sleeper.pass_by(FIRST_ANSWER_SECONDS)
    assert sleeper.told == []
    sleeper.pass_by(10)
    assert "it does not answer" in sleeper.told[0]
    sleeper.worker.stop(0)
