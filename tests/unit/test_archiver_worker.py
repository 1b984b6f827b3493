"""One camera's fault is its own, the broker's is everybody's; conversions yield to live."""

import os
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from archiver.desk import NICE, Desk
from archiver.worker import ArchiverWorker
from shared.clock import SimulatedClock
from shared.config import from_mapping
from shared.errors import LinkLost, Misconfigured
from shared.health import Health
from shared.log import get_logger
from shared.worker import WorkerContext


class Camera:
    """A camera whose turn may fail."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.turns = 0
        self.broke: Exception | None = None

    def advance(self) -> None:
        self.turns += 1
        if self.fault is not None:
            raise self.fault

    def break_off(self, error: Exception) -> None:
        self.broke = error


def context_of(tmp_path: Path, secret_key: str) -> WorkerContext:
    frames = {"url": (tmp_path / "frames").as_uri()}
    settings = from_mapping({"frames": frames, "archive": {"secret_key": secret_key}})
    clock = SimulatedClock()
    return WorkerContext(settings, "test", clock, get_logger(), Health(clock))


def worker_of(tmp_path: Path, *cameras: Camera) -> ArchiverWorker:
    worker = ArchiverWorker(context_of(tmp_path, "a secret"))
    both: dict[str, Any] = {str(n): (camera, Camera()) for n, camera in enumerate(cameras)}
    worker._cameras = both
    return worker


def test_one_cameras_fault_does_not_stop_the_others(tmp_path: Path) -> None:
    fault = ZeroDivisionError("of all things")
    broken, whole = Camera(fault), Camera()
    worker_of(tmp_path, broken, whole)._turn()
    assert broken.broke is fault
    assert whole.turns == 1
    assert whole.broke is None


def test_a_lost_link_has_everything_built_anew(tmp_path: Path) -> None:
    with pytest.raises(LinkLost):
        worker_of(tmp_path, Camera(LinkLost("the broker is gone")))._turn()


def test_calls_one_after_the_other_are_made_in_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, now, made = Desk(1), 0.0, 0
    monkeypatch.setattr("archiver.desk.monotonic", lambda: now)

    def call(_: Future[None]) -> None:
        nonlocal now, made
        made += 1
        if made < 5:
            desk.chore(lambda: None, call)
        else:
            now += 60

    desk.chore(lambda: None, call)
    desk.turn_for(60)
    desk.close()
    assert made == 5


def test_a_missing_secret_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"^archive.secret_key: is missing"):
        ArchiverWorker(context_of(tmp_path, ""))


def test_conversions_and_their_children_yield_to_live(tmp_path: Path) -> None:
    def nice() -> int:
        return int(subprocess.check_output(["nice"]))

    answers: list[Future[int]] = []
    desk, mine = Desk(1), os.getpriority(os.PRIO_PROCESS, 0)
    desk.convert(nice, answers.append)
    desk.chore(nice, answers.append)
    while len(answers) < 2:
        desk.turn(5)
    desk.close()
    assert sorted(each.result() for each in answers) == [mine, max(mine, NICE)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == mine


STARTED_NICER = """
import subprocess
from archiver.desk import Desk
print(Desk(1).convert(lambda: int(subprocess.check_output(["nice"])), print).result(30))
"""


def test_conversions_of_a_worker_that_was_started_nicer_stay_so() -> None:
    """An unprivileged one may not go back: it tried, and never converted anything."""
    started = ["nice", "-n", "19", sys.executable, "-c", STARTED_NICER]
    assert subprocess.check_output(started, timeout=60).split() == [b"19"]
