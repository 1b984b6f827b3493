"""One round: cameras, one side or both side by side, and what they cost over a measured time.

Everybody starts and warms up; then CPU time is read at both ends of the measured time, memory every
few seconds, and each segment is noted when it is published. Only when all has been stopped are the
pictures looked at. The measured time is a whole number of clips and its ends lie between two clips,
so that as many conversions fall into it as belong there.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from deploy.local.ports import free_ports
from deploy.local.program import Program
from tests.bench import processes
from tests.bench.cameras import Schedule
from tests.bench.contender import Contender
from tests.bench.figures import Conditions, Delay, Result, Round, Window, tally_all
from tests.bench.mark import Mark, marks_in
from tests.bench.playlists import PlaylistWatch
from tests.bench.processes import Times

ROOT: Final = Path(__file__).parents[2]
START_SECONDS: Final = 120.0
MEMORY_SECONDS: Final = 5.0
QUIET_SHARE: Final = (1 / 3, 2 / 3)
"""Of a clip's time: where no conversion goes on, and the measured time may begin and end."""
AFTER_SECONDS: Final = 4.0
"""What was sent at the end of the measured time must be published by then."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How a round is done."""

    cameras: int
    seconds: int
    clip_seconds: int
    warm_up_seconds: float
    footage: Path
    folder: Path
    """Of this round alone; large."""


class Cameras:
    """The process that plays the sources."""

    def __init__(self, plan: Plan) -> None:
        self._port = free_ports(1)[0]
        self._count = plan.cameras
        command = [sys.executable, "-m", "tests.bench.cameras", "--footage", str(plan.footage)]
        command += ["--cameras", str(plan.cameras), "--port", str(self._port)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._program = Program("cameras", command, folder=plan.folder, environment=environment)

    def start(self) -> Schedule:
        """Returns once they play. Raises ChildFailed."""
        self._program.start()
        while not (lines := self._lines()):
            self._program.require_running()
            time.sleep(0.1)
        return Schedule(**json.loads(lines[0]))

    def _lines(self) -> list[str]:
        text = self._program.log_file.read_text()
        return text[: text.rfind("\n") + 1].splitlines()

    @property
    def sources(self) -> list[str]:
        return [f"rtsp://127.0.0.1:{self._port}/{number}" for number in range(self._count)]

    def named_processes(self) -> Mapping[int, str]:
        self._program.require_running()
        return {self._program.pid: "cameras"}

    def stop(self) -> dict[str, float]:
        """Ends them; says how punctual they were."""
        self._program.stop(10)
        summary: dict[str, float] = json.loads(self._lines()[-1])
        return summary

    def kill(self) -> None:
        self._program.kill()


@dataclass
class Side:
    """A contender while it is measured."""

    contender: Contender
    watch: PlaylistWatch
    before: dict[str, Times] = field(default_factory=dict)
    after: dict[str, Times] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, float] = field(default_factory=dict)

    def look_at_memory(self) -> None:
        now = processes.memory(processes.processes(), self.contender.named_processes())
        if sum(now.values()) > sum(self.peak.values()):
            self.peak = now

    def cpu(self) -> dict[str, Times]:
        """Within the measured time."""
        none = Times(0.0, 0.0)
        return {
            name: self.after.get(name, none).since(self.before.get(name, none))
            for name in self.before | self.after
        }


@dataclass(frozen=True)
class Reading:
    """CPU time of all concerned, at one moment."""

    busy: float
    cameras: float
    bench: float
    sides: list[dict[str, Times]]


def measure(plan: Plan, contenders: Sequence[Contender], say: Say) -> Round:
    """Do a round. Raises CradleError, TimeoutError; everything it started has ended then."""
    plan.folder.mkdir(parents=True)
    cameras = Cameras(plan)
    with ExitStack() as stack:
        stack.callback(cameras.kill)
        schedule = cameras.start()
        sides = []
        for contender in contenders:
            stack.callback(contender.stop)
            contender.start(cameras.sources)
            kept = plan.folder / "kept" / contender.name
            side = Side(contender, PlaylistWatch(contender.playlists(), kept))
            side.watch.start()
            stack.callback(side.watch.stop)
            sides.append(side)
        _warm_up(plan, sides, say)
        say(f"measuring {plan.seconds} s")
        window, first, last = _watch_over(plan, sides, cameras)
        for side in sides:
            side.troubles = side.contender.troubles()
        _wait(AFTER_SECONDS, sides)
        say("stopping, and looking at every frame")
        for side in sides:
            side.contender.stop()
            side.watch.stop()
        punctuality = cameras.stop()
    expected = {
        camera: schedule.due_between(camera, window.begin_ns, window.end_ns)
        for camera in range(plan.cameras)
    }
    results = [_result(plan, side, window, expected) for side in sides]
    return Round(results, _conditions(window, first, last, punctuality))


def _warm_up(plan: Plan, sides: list[Side], say: Say) -> None:
    deadline = time.monotonic() + START_SECONDS
    while any(side.watch.published() < 2 for side in sides):
        _wait(0.5, sides)
        if time.monotonic() > deadline:
            late = [each.contender.name for each in sides if each.watch.published() < 2]
            raise TimeoutError(f"not all cameras were live after {START_SECONDS:.0f} s: {late}")
    aside = seconds_to_quiet(time.time() + plan.warm_up_seconds, plan.clip_seconds)
    say(f"all cameras are live; warming up for {plan.warm_up_seconds + aside:.0f} s")
    _wait(plan.warm_up_seconds + aside, sides)


def seconds_to_quiet(moment: float, clip_seconds: int) -> float:
    """How long from a moment (Unix time) until the middle of a clip's time, 0 if it is then."""
    share = moment % clip_seconds / clip_seconds
    if QUIET_SHARE[0] <= share <= QUIET_SHARE[1]:
        return 0.0
    return (QUIET_SHARE[0] - share) % 1 * clip_seconds


def _wait(seconds: float, sides: list[Side]) -> None:
    """Let time pass. Raises ChildFailed as soon as a contender has ended."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, 1.0))
        for side in sides:
            side.contender.named_processes()


def _watch_over(plan: Plan, sides: list[Side], cameras: Cameras) -> tuple[Window, Reading, Reading]:
    for side in sides:
        side.watch.keep()
    first, begin_ns = _read(sides, cameras), time.time_ns()
    ends_at = time.monotonic() + plan.seconds
    while (left := ends_at - time.monotonic()) > 0:
        for side in sides:
            side.look_at_memory()
        time.sleep(min(left, MEMORY_SECONDS))
    last, end_ns = _read(sides, cameras), time.time_ns()
    for side, before, after in zip(sides, first.sides, last.sides, strict=True):
        side.before, side.after = before, after
    return Window(begin_ns, end_ns), first, last


def _read(sides: list[Side], cameras: Cameras) -> Reading:
    names = [side.contender.named_processes() for side in sides]
    now = processes.processes()
    return Reading(
        busy=processes.busy_seconds(),
        cameras=processes.times(now, cameras.named_processes())["cameras"].total,
        bench=time.process_time(),
        sides=[processes.times(now, each) for each in names],
    )


def _conditions(
    window: Window, first: Reading, last: Reading, punctuality: Mapping[str, float]
) -> Conditions:
    def used(reading: Reading) -> float:
        return sum(times.total for side in reading.sides for times in side.values())

    cameras, bench = last.cameras - first.cameras, last.bench - first.bench
    known = used(last) - used(first) + cameras + bench
    return Conditions(
        cpus=os.cpu_count() or 1,
        seconds=window.seconds,
        cameras_cpu=cameras,
        bench_cpu=bench,
        other_cpu=last.busy - first.busy - known,
        late_p99_seconds=punctuality["late_p99_seconds"],
        cut_off=round(punctuality["cut_off"]),
    )


def _result(plan: Plan, side: Side, window: Window, expected: Mapping[int, range]) -> Result:
    delays: list[float] = []
    lengths: list[float] = []

    def published() -> Iterator[tuple[int, Mark]]:
        for each in side.watch.publications:
            if each.file is None:
                continue
            measured = window.holds(each.published_ns)
            if measured:
                lengths.append(each.duration_seconds)
            for mark in marks_in(each.file):
                if measured:
                    delays.append((each.published_ns - mark.sent_ns) / 1e9)
                yield each.camera, mark

    live = tally_all(expected, published())
    return Result(
        contender=side.contender.name,
        cameras=plan.cameras,
        seconds=window.seconds,
        cpu=side.cpu(),
        memory=side.peak,
        delay=Delay.of(delays),
        segment_seconds=median(lengths),
        live=live,
        recorded=tally_all(expected, side.contender.recorded()),
        troubles=side.troubles,
    )
