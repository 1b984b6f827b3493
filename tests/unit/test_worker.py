"""The frame of a worker: it retries what may pass, refuses what cannot, and stops when told."""

import os
import signal
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from shared import worker as frame
from shared.backoff import (
    FIRST_SECONDS,
    LONGEST_BROKER_SECONDS,
    LONGEST_SECONDS,
    pause_seconds,
)
from shared.clock import SimulatedClock, SystemClock
from shared.config import Settings
from shared.errors import BrokerUnavailable, CradleError, LinkLost, Misconfigured
from shared.health import FRESH_SECONDS, Health
from shared.log import get_logger
from shared.messages import Stage
from shared.worker import UNEXPECTED, WorkerContext, run, stop_on_signals
from tests.support import SIGNALS


class Stop(threading.Event):
    """A stop that is set after so many pauses, and waits for none of them."""

    def __init__(self, clock: SimulatedClock, turns: int) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self._clock = clock
        self._turns = turns

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout or 0)
        self._clock.advance(timeout or 0)
        if len(self.pauses) >= self._turns:
            self.set()
        return self.is_set()


class Work:
    """A stage that does what the test says."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    def run_once(self, stop: threading.Event) -> None:
        self.act()


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def context(clock: SimulatedClock) -> WorkerContext:
    return WorkerContext(Settings(), "ingest-1", clock, get_logger(), Health(clock))


def raising(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "longest_seconds"),
    [
        (LinkLost("gone"), LONGEST_BROKER_SECONDS),
        (BrokerUnavailable("away"), LONGEST_BROKER_SECONDS),
        (CradleError("odd"), LONGEST_SECONDS),
        (ZeroDivisionError("bug"), LONGEST_SECONDS),
    ],
)
def test_work_that_breaks_is_begun_again_with_growing_pauses(
    context: WorkerContext, clock: SimulatedClock, error: Exception, longest_seconds: float
) -> None:
    stop = Stop(clock, 12)
    with capture_logs() as lines:
        run(Work(raising(error)), context, stop)
    assert len([line for line in lines if str(error) in line.get("reason", "")]) == 12
    assert len(stop.pauses) == 12
    assert stop.pauses[0] <= 2 * FIRST_SECONDS
    assert longest_seconds / 2 <= stop.pauses[-1] <= longest_seconds


def restarts(reason: str) -> float:
    return REGISTRY.get_sample_value("cradle_worker_restarts_total", {"reason": reason}) or 0.0


@pytest.mark.parametrize(
    ("error", "reason"),
    [(LinkLost("gone"), "LinkLost"), (ZeroDivisionError("bug"), UNEXPECTED)],
)
def test_an_interruption_is_counted_by_a_reason_that_was_there_before(
    context: WorkerContext, clock: SimulatedClock, error: Exception, reason: str
) -> None:
    before = restarts(reason)
    assert REGISTRY.get_sample_value("cradle_worker_restarts_total", {"reason": reason}) is not None
    run(Work(raising(error)), context, Stop(clock, 3))
    assert restarts(reason) == before + 3


def test_pauses_start_over_once_the_work_has_held(
    context: WorkerContext, clock: SimulatedClock
) -> None:
    stop = Stop(clock, 12)

    def act() -> None:
        if len(stop.pauses) == 10:
            clock.advance(3600)
        raise CradleError("odd")

    run(Work(act), context, stop)
    assert stop.pauses[9] > 10
    assert stop.pauses[10] <= FIRST_SECONDS


def test_a_fault_of_configuration_at_the_start_ends_the_worker(
    context: WorkerContext, clock: SimulatedClock
) -> None:
    with pytest.raises(Misconfigured, match="broker"):
        run(Work(raising(Misconfigured("broker.url: wrong"))), context, Stop(clock, 1))


def test_a_fault_of_configuration_later_is_waited_out(
    context: WorkerContext, clock: SimulatedClock
) -> None:
    stop = Stop(clock, 3)

    def act() -> None:
        context.thawed()
        raise Misconfigured("a queue was made with other arguments")

    run(Work(act), context, stop)
    assert len(stop.pauses) == 3


def test_a_stopped_worker_does_not_begin_again(
    context: WorkerContext, clock: SimulatedClock
) -> None:
    stop = Stop(clock, 100)
    begun: list[int] = []

    def act() -> None:
        begun.append(1)
        stop.set()

    run(Work(act), context, stop)
    assert begun == [1]


def test_pauses_are_jittered_and_capped() -> None:
    assert len({pause_seconds(3) for _ in range(50)}) > 40
    assert all(pause_seconds(failures) <= LONGEST_SECONDS for failures in range(2000))
    assert all(pause_seconds(30, 5.0) <= 5.0 for _ in range(50))


def test_more_than_a_heartbeat_between_turns_is_a_thaw(
    context: WorkerContext, clock: SimulatedClock
) -> None:
    clock.advance(100)
    assert not context.thawed()  # the start is not a thaw
    clock.advance(9)
    assert not context.thawed()
    clock.advance(11)
    assert context.thawed()
    assert not context.thawed()


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_sets_stop_even_if_it_meets_the_main_thread_inside_the_event(
    number: signal.Signals,
) -> None:
    stop = stop_on_signals()
    with stop._cond:  # type: ignore[attr-defined]  # where a handler that sets it would hang
        os.kill(os.getpid(), number)
    assert stop.wait(5)


@pytest.mark.usefixtures("handlers")
def test_a_terminal_that_is_closed_means_nothing_under_nohup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop_on_signals()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_health_is_good_only_while_the_loop_turns(clock: SimulatedClock) -> None:
    health = Health(clock)
    health.beat()
    health.set("camera-1", "live")
    assert health.answer()[0] == 200
    clock.advance(FRESH_SECONDS + 1)
    status, body = health.answer()
    assert (status, body["alive"]) == (503, False)
    health.beat()
    assert health.answer() == (
        200,
        {"alive": True, "last_turn_seconds": 0.0, "states": {"camera-1": "live"}},
    )
    health.set("camera-1", None)
    assert health.answer()[1]["states"] == {}


def test_a_pause_before_the_next_try_is_no_sign_of_death(
    context: WorkerContext, clock: SimulatedClock
) -> None:
    answers: list[int] = []

    class Watched(Stop):
        def wait(self, timeout: float | None = None) -> bool:
            stopped = super().wait(timeout)
            answers.append(context.health.answer()[0])
            return stopped

    run(Work(raising(LinkLost("gone"))), context, Watched(clock, 40))
    assert answers == [200] * 40
    clock.advance(FRESH_SECONDS + 1)
    assert context.health.answer()[0] == 503


def test_a_long_call_that_was_expected_counts_only_once_it_is_overdue(
    clock: SimulatedClock,
) -> None:
    health = Health(clock)
    health.expect(600)
    clock.advance(600)
    assert health.answer()[0] == 200
    clock.advance(FRESH_SECONDS + 1)
    assert health.answer()[0] == 503
    health.expect(600)
    assert health.beat() == 0.0
    clock.advance(FRESH_SECONDS + 1)
    assert health.answer()[0] == 503


def ask(port: int, path: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_health_and_figures_are_served() -> None:
    port = Health(SystemClock()).serve("127.0.0.1", 0)
    assert ask(port, "/healthz")[0] == 200
    assert b"cradle_worker_restarts_total" in ask(port, "/metrics")[1]
    assert ask(port, "/")[0] == 404


def test_a_port_in_use_is_said_in_a_sentence() -> None:
    port = Health(SystemClock()).serve("127.0.0.1", 0)
    with pytest.raises(Misconfigured, match=r"metrics.port: 127.0.0.1:\d+ cannot be listened on"):
        Health(SystemClock()).serve("127.0.0.1", port)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("cameras: [", "not valid YAML"),
        ("camera: []", "camera: no such key"),
        ("metrics: {port: 99999}", "metrics.port"),
    ],
)
def test_a_fault_at_the_start_is_one_sentence_and_exit_code_2(
    content: str | None,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "cradle.yaml"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr("sys.argv", ["ingest", "--config", str(path)])

    def never(_context: Any) -> Any:
        raise AssertionError("the work was begun")

    with pytest.raises(SystemExit) as left:
        frame.main(Stage.INGEST, never)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1
