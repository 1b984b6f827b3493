"""Long outages: a service or a stage is away for as long as a night without its operator.

python -m tests.faults.outages                  all three, side by side, about 70 minutes
python -m tests.faults.outages --only store --minutes 5

Each has a house of its own with eight cameras. It runs for a while, something is away, it comes
back, and everything that had waited must be archived. Measured are live before, meanwhile and
after, how fast the backlog was worked off, what was held, and what waiting cost; the ledger counts
every frame, as in the short faults. The figures go into their section of docs/RELIABILITY.md.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench.processes import processes, times
from tests.faults.endured import Endured, Live, as_text
from tests.faults.ledger import Ledger, Place, judge
from tests.faults.page import PAGE
from tests.faults.plan import Plan
from tests.faults.scene import Scene, scene
from tests.faults.trial import all_live, clips_of, committed
from tests.faults.watch import Watch, watching
from tests.sections import write_section

PLAN: Final = Plan(file_cameras=6, has_small_disk=False, clip_seconds=60)
"""Eight cameras; no delivery may be held for more than eleven minutes then."""
CALM_SECONDS: Final = 60.0
READY_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 10.0
"""Reading all indexes each second would cost more than the house."""
CATCH_UP_SECONDS: Final = 1800.0


# -- what is taken away ---------------------------------------------------------------------------


def _archivers_go(house: Scene) -> None:
    house.away.add("archiver")
    for worker in house.living("archiver"):
        house.kill(worker)


def _archivers_come(house: Scene) -> None:
    house.away.clear()


def _broker_comes(house: Scene) -> None:
    house.broker.start()
    house.until(house.broker.is_ready, READY_SECONDS)


def _store_comes(house: Scene) -> None:
    house.store.start()
    house.until(house.store.is_ready, READY_SECONDS)


@dataclass(frozen=True)
class Outage:
    """One kind: how long it lasts, unless told otherwise, and how it begins and ends."""

    minutes: float
    goes: Callable[[Scene], None]
    comes: Callable[[Scene], None]


OUTAGES: Final = {
    "archiver": Outage(60, _archivers_go, _archivers_come),
    "broker": Outage(60, lambda house: house.broker.kill(), _broker_comes),
    "store": Outage(20, lambda house: house.store.kill(), _store_comes),
}


# -- one outage -----------------------------------------------------------------------------------


def endure(
    name: str,
    seconds: float,
    folder: Path,
    plan: Plan = PLAN,
    calm_seconds: float = CALM_SECONDS,
    say: Callable[[str], None] = print,
) -> Endured:
    """One outage, from an empty folder to the count; it is calm for a while before and after."""
    with scene(folder, seed=1, plan=plan) as house:
        ledger = Ledger(house.line.frame_store, house.cameras, LOOK_SECONDS)
        house.start()
        ledger.start()
        with watching(house) as watch:
            if not house.until(lambda: all_live(house), READY_SECONDS):
                raise AssertionError("live did not begin")
            trial = _Trial(house, watch, plan.clip_seconds)
            say(f"{name}: all cameras are live")
            trial.span("before", partial(house.pause, calm_seconds))
            OUTAGES[name].goes(house)
            say(f"{name}: away for {seconds / 60:g} min")
            trial.span("meanwhile", partial(trial.look, seconds))
            OUTAGES[name].comes(house)
            back_at, back = datetime.now(UTC), time.monotonic()
            say(f"{name}: back")
            trial.span("after", partial(trial.work_off, back_at))
            catch_up_seconds = time.monotonic() - back
            say(f"{name}: worked off in {catch_up_seconds:.0f} s")
            house.pause(calm_seconds)
            house.stop_ingest()
            ledger.finish()
            house.until(lambda: not ledger.stored.keys() - committed(house), CATCH_UP_SECONDS)
        say(f"{name}: looking at every frame")
        return Endured(
            name,
            seconds,
            len(house.cameras),
            judge(ledger.stored, list(clips_of(house))),
            trial.live,
            watch.first_advance(back_at, back_at + timedelta(seconds=CALM_SECONDS)),
            catch_up_seconds,
            trial.held_seconds,
            trial.used,
            trial.lines,
            trial.grown_bytes,
            len(watch.overwritten),
        )


class _Trial:
    """What is measured while one house endures."""

    def __init__(self, house: Scene, watch: Watch, clip_seconds: int) -> None:
        self._clip_seconds = clip_seconds
        self._house = house
        self._watch = watch
        self.live: dict[str, Live] = {}
        self.held_seconds = 0.0
        self.used: dict[str, float] = {}
        self.lines = 0
        self.grown_bytes: dict[str, int] = {}

    def span(self, name: str, lasts: Callable[[], None]) -> None:
        """Let something last, and say how live was over that time."""
        began_at, (count, delay) = datetime.now(UTC), self._delays()
        lasts()
        more, later = self._delays()
        mean = (later - delay) / (more - count) if more > count else 0.0
        self.live[name] = Live(mean, self._watch.longest_stall(began_at, datetime.now(UTC)))

    def _delays(self) -> tuple[float, float]:
        name = "cradle_encoder_live_delay_seconds"
        count, total = (
            sum(self._house.line.figure(worker, f"{name}_{kind}") for worker in self._encoders)
            for kind in ("count", "sum")
        )
        return count, total

    @property
    def _encoders(self) -> list[str]:
        return self._house.living("encoder")

    def look(self, seconds: float) -> None:
        """The outage itself."""
        names = {worker.pid: name for name, worker in self._house.line.workers.items()}
        deadline, began = time.monotonic() + seconds, times(processes(), names)
        lines, resident = self._log_lines(), self._resident()
        while (left := deadline - time.monotonic()) > 0:
            self._house.pause(min(LOOK_SECONDS, left))
            self.held_seconds = max(self.held_seconds, self._held_seconds())
        for name, now in times(processes(), names).items():
            stage, share = name.partition("-")[0], now.since(began[name]).total / seconds
            self.used[stage] = self.used.get(stage, 0.0) + share
        self.lines = round((self._log_lines() - lines) / (seconds / 60))
        for name, now_bytes in self._resident().items():
            stage, grown = name.partition("-")[0], now_bytes - resident.get(name, now_bytes)
            self.grown_bytes[stage] = max(self.grown_bytes.get(stage, grown), grown)

    def _held_seconds(self) -> float:
        name = "cradle_archiver_oldest_held_seconds"
        return max(
            (
                self._house.line.figure(worker, f'{name}{{camera="{camera}"}}')
                for worker in self._house.living("archiver")
                for camera in self._house.cameras
            ),
            default=0.0,
        )

    def _log_lines(self) -> int:
        return sum(self._house.line.log(name).count("\n") for name in self._house.line.workers)

    def _resident(self) -> dict[str, int]:
        newest = {each.worker: each.resident_bytes for each in self._watch.memory}
        return {name: newest[name] for name in self._house.line.workers if name in newest}

    def work_off(self, back_at: datetime) -> None:
        """Until everything is committed whose window was over when the outage ended."""
        second = int(back_at.timestamp())
        complete_at = datetime.fromtimestamp(second - second % self._clip_seconds, UTC)
        wanted = _closed(self._house, complete_at)
        last = 0.0

        def is_done() -> bool:
            nonlocal last
            if time.monotonic() < last + 1:
                return False
            last = time.monotonic()
            return not wanted - committed(self._house)

        if not self._house.until(is_done, CATCH_UP_SECONDS):
            raise AssertionError(f"after {CATCH_UP_SECONDS:g} s the backlog is still there")


def _closed(house: Scene, before: datetime) -> set[Place]:
    reader = house.line.frame_store
    return {
        (camera, epoch, fragment.fragment)
        for camera in house.cameras
        for epoch in reader.epochs(camera)
        for fragment in reader.closed(camera, epoch).fragments
        if fragment.captured_at < before
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=sorted(OUTAGES))
    parser.add_argument("--minutes", type=float, help="instead of 60, 60 and 20")
    parser.add_argument("--page", type=Path, default=PAGE, help="default: RELIABILITY.md in docs")
    parser.add_argument("--work", type=Path, help="folder for it all, kept; default: a passing one")
    arguments = parser.parse_args()
    names = arguments.only or list(OUTAGES)
    with (
        tempfile.TemporaryDirectory(prefix="cradle-outages-") as passing,
        ProcessPoolExecutor(len(names)) as pool,
    ):
        running = []
        for name in names:
            folder = (arguments.work or Path(passing)) / name
            folder.mkdir(parents=True)
            seconds = 60 * (arguments.minutes or OUTAGES[name].minutes)
            running.append(pool.submit(endure, name, seconds, folder))
        endured = [each.result() for each in running]
    words = "".join(f" --only {name}" for name in arguments.only or ())
    words += f" --minutes {arguments.minutes:g}" if arguments.minutes else ""
    text = as_text(endured, f"python -m tests.faults.outages{words}", PLAN.clip_seconds)
    print(text)
    write_section(arguments.page, "outages", text)
    return 0 if all(each.verdict.is_clean and not each.overwritten for each in endured) else 1


if __name__ == "__main__":
    raise SystemExit(main())
