"""The live wall with many cameras: what the viewer and a browser spend on it.

    python -m tests.bench.wall                      eight minutes; writes into docs/PERFORMANCE.md
    python -m tests.bench.wall --cameras 4 --seconds 10 --no-page

A whole house runs (broker, object store, every stage), its cameras loop a video whose pictures are
numbered. Debian's Chromium logs in and opens the wall. What the tiles show is read twice from the
page itself, CPU time and memory from /proc, requests from the viewer's own figures.
"""

import argparse
import os
import re
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page

from deploy.local.status import fetch
from shared.child import find_program
from tests.bench import machine
from tests.bench.measure import ROOT
from tests.bench.page import table
from tests.bench.processes import busy_seconds, command_of, memory, processes, times
from tests.line import wait_seconds
from tests.player.screen import chromium
from tests.sections import write_section
from tests.services import running_broker, running_store
from tests.support import eventually
from tests.videos import make_video
from tests.viewer_line import Watched, watched

PAGE: Final = ROOT / "docs" / "PERFORMANCE.md"
VIDEO_SECONDS: Final = 20
SETTLE_SECONDS: Final = 20.0
STAGES: Final = ("ingest", "encoder", "archiver", "analyzer", "viewer")
VIEWS: Final = {"all on the screen": (1920, 2400), "an ordinary screen": (1920, 1080)}

_TILES: Final = """() => [...document.querySelectorAll(".tile")].map((tile) => {
  const video = tile.querySelector("video");
  const box = tile.querySelector(".picture").getBoundingClientRect();
  const quality = video.getVideoPlaybackQuality();
  return {
    camera: tile.dataset.camera,
    state: tile.dataset.state,
    badge: tile.querySelector(".badge").textContent,
    is_seen: box.bottom > 0 && box.top < innerHeight,
    decoded: quality.totalVideoFrames,
    dropped: quality.droppedVideoFrames,
  };
})"""
_DELAY: Final = re.compile(r"([\d.]+) s delay")


@dataclass(frozen=True)
class Shot:
    """What was read at one moment."""

    at: float
    """Monotonic seconds."""
    tiles: dict[str, dict[str, Any]]
    cpu: dict[str, float]
    requests: dict[str, float]
    busy: float


@dataclass(frozen=True)
class Figures:
    """One measured time."""

    what: str
    cameras: int
    seconds: float
    seen: int
    """Tiles on the screen."""
    playing: int
    """Of these: with new pictures, and live at the end."""
    pictures: list[float]
    """A second, of each tile on the screen."""
    beyond: list[float]
    """The same of tiles that nobody sees."""
    dropped: float
    """Of the pictures on the screen: decoded and not shown, share."""
    delays: list[float]
    """Shown in the tiles, seconds."""
    cpu: dict[str, float]
    """CPU-seconds each second, by name."""
    memory: dict[str, int]
    requests: dict[str, float]
    """A second, by route."""
    busy: float
    """Of the machine, share."""
    others: float
    """The same, by what is not in `cpu`: broker, object store, and whatever else runs."""


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.wall", description=__doc__)
    parser.add_argument("--cameras", type=int, default=24)
    parser.add_argument("--seconds", default="60,120", help="measured times, one after the other")
    parser.add_argument("--size", default="640x360", help="of the pictures")
    parser.add_argument("--rate", type=int, default=15, help="pictures a second")
    parser.add_argument("--bitrate", default="600k")
    parser.add_argument("--no-page", action="store_true", help="print only")
    chosen = parser.parse_args(arguments)
    chosen.seconds = [int(text) for text in chosen.seconds.split(",")]
    chosen.size = tuple(int(text) for text in chosen.size.split("x"))
    return chosen


def say(text: str) -> None:
    """Progress, for who waits."""
    print(f"{datetime.now(UTC):%H:%M:%S}  {text}", flush=True)


@contextmanager
def house(chosen: argparse.Namespace, folder: Path) -> Iterator[Watched]:
    """Everything, with all cameras live."""
    video = make_video(
        folder / "room.mp4",
        size=chosen.size,
        frames_per_second=chosen.rate,
        seconds=VIDEO_SECONDS,
        bitrate=chosen.bitrate,
    )
    cameras = [
        {"id": f"camera-{number}", "source": video.as_uri(), "loop": True}
        for number in range(1, chosen.cameras + 1)
    ]
    with ExitStack() as stack:
        broker = stack.enter_context(running_broker(folder / "broker"))
        store = stack.enter_context(running_store(folder / "store"))
        archive = stack.enter_context(store.bucket())
        made = stack.enter_context(watched(folder / "house", broker.url, archive, cameras))
        for camera in cameras:
            made.line.until_live(str(camera["id"]), 60)
        yield made


class Look:
    """Reads the page and the machine."""

    def __init__(self, watched_house: Watched, page: Page) -> None:
        self._line = watched_house.line
        self._page = page

    def names(self) -> dict[int, str]:
        """What each process is: a worker, or the browser with all that it started."""
        named = {self._line.workers[stage].pid: stage for stage in STAGES}
        chromium_program = Path(find_program("chromium")).name
        for process in processes().values():
            command = command_of(process.pid)
            if command and chromium_program in Path(command[0]).name:
                named.setdefault(process.pid, "browser")
        return named

    def shot(self) -> Shot:
        """Now."""
        names = self.names()
        cpu = {name: each.total for name, each in times(processes(), names).items()}
        tiles = {each["camera"]: each for each in self._page.evaluate(_TILES)}
        return Shot(time.monotonic(), tiles, cpu, self._requests(), busy_seconds())

    def memory(self) -> dict[str, int]:
        """PSS now, bytes."""
        return memory(processes(), self.names())

    def _requests(self) -> dict[str, float]:
        text = fetch(f"http://127.0.0.1:{self._line.ports['viewer']}/metrics")
        form = r'^cradle_viewer_request_seconds_count\{route="([^"]+)"\} ([\d.e+]+)$'
        return {route: float(count) for route, count in re.findall(form, text, re.MULTILINE)}


def figures(what: str, look: Look, seconds: float) -> Figures:
    """Measure for a while."""
    before = look.shot()
    wait_seconds(seconds)
    after = look.shot()
    took = after.at - before.at

    def rate(camera: str, field: str) -> float:
        return float(after.tiles[camera][field] - before.tiles[camera][field]) / took

    seen = [name for name, tile in after.tiles.items() if tile["is_seen"]]
    beyond = [name for name in after.tiles if name not in seen]
    pictures = [rate(name, "decoded") for name in seen]
    live = [after.tiles[name]["state"] == "live" for name in seen]
    delays = [_DELAY.search(after.tiles[name]["badge"]) for name in seen]
    decoded = sum(pictures)
    cpu = {name: (after.cpu[name] - before.cpu.get(name, 0.0)) / took for name in after.cpu}
    busy, cores = (after.busy - before.busy) / took, os.cpu_count() or 1
    return Figures(
        what=what,
        cameras=len(after.tiles),
        seconds=took,
        seen=len(seen),
        playing=sum(each > 0 and is_live for each, is_live in zip(pictures, live, strict=True)),
        pictures=pictures,
        beyond=[rate(name, "decoded") for name in beyond],
        dropped=sum(rate(name, "dropped") for name in seen) / decoded if decoded else 0.0,
        delays=[float(each[1]) for each in delays if each is not None],
        cpu=cpu,
        memory=look.memory(),
        requests={
            route: (count - before.requests.get(route, 0.0)) / took
            for route, count in after.requests.items()
        },
        busy=busy / cores,
        others=(busy - sum(cpu.values())) / cores,
    )


def measured(chosen: argparse.Namespace, folder: Path) -> list[Figures]:
    """All measured times: the whole wall on the screen, and as much as an ordinary one holds."""
    found = []
    with house(chosen, folder) as made, chromium() as browser:
        for what, (width, height) in VIEWS.items():
            say(what)
            with made.page(browser, viewport={"width": width, "height": height}) as page:
                page.wait_for_selector(".tile")
                eventually(lambda: bool(page.query_selector('[data-state="live"]')), 60, "a tile")
                wait_seconds(SETTLE_SECONDS)
                look = Look(made, page)
                for seconds in chosen.seconds:
                    found.append(figures(f"{what}, {seconds} s", look, seconds))
                    print(described([found[-1]]), flush=True)
    return found


def described(found: list[Figures]) -> str:
    """Tables."""
    head = ["", "tiles", "on screen", "of these live", "pictures/s of one: least", "mean"]
    head += ["not shown, %", "of one beyond", "delay mean, s", "worst"]
    shown = [
        [
            each.what,
            str(each.cameras),
            str(each.seen),
            str(each.playing),
            f"{min(each.pictures, default=0):.1f}",
            f"{_mean(each.pictures):.1f}",
            f"{each.dropped * 100:.1f}",
            f"{_mean(each.beyond):.1f}" if each.beyond else "-",
            f"{_mean(each.delays):.1f}",
            f"{max(each.delays, default=0):.1f}",
        ]
        for each in found
    ]
    names = [*STAGES, "browser"]
    spent = [
        [
            each.what,
            *(f"{each.cpu.get(name, 0.0):.2f}" for name in names),
            f"{each.busy * 100:.0f}",
            f"{each.others * 100:.0f}",
            f"{each.memory.get('viewer', 0) / 2**20:.0f}",
            f"{each.memory.get('browser', 0) / 2**20:.0f}",
            f"{sum(each.requests.values()):.1f}",
        ]
        for each in found
    ]
    spent_head = [
        "CPU-seconds a second",
        *names,
        "machine busy, %",
        "by others, %",
        "viewer, MiB",
        "browser, MiB",
    ]
    return "\n\n".join((table(head, shown), table([*spent_head, "requests/s"], spent)))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


_TEMPLATE: Final = """\
## The live wall

Measured on {date} by the command below, which wrote this part of the page.

    {command}

{cameras} cameras of {width}x{height} at {rate} pictures a second ({bitrate}bit/s, a key frame each
second) were looped through the whole line, every stage and broker and object store on the same
machine; Debian's Chromium {browser} (headless, without a graphics processor, so that it decodes in
software) logged in and opened the wall.

{tables}

*Pictures* are those that the browser decoded, each second, of one tile; *delay* is what the tiles
show: from capture to screen. Tiles beyond the edge of the screen rest. *Browser* is all of
Chromium's processes; *by others* is what neither it nor the five stages used, as a share of the
machine: broker, object store, and whatever else ran. Memory is PSS. Where the machine is busy all
the time, pictures and delay say what was left for the browser, and not what it needs.

Machine: {machine}. {versions}.
"""


def section(chosen: argparse.Namespace, found: list[Figures], browser: str) -> str:
    """What belongs into the page."""
    width, height = chosen.size
    return _TEMPLATE.format(
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        command=shlex.join([".venv/bin/python", "-m", "tests.bench.wall", *sys.argv[1:]]),
        cameras=chosen.cameras,
        width=width,
        height=height,
        rate=chosen.rate,
        bitrate=chosen.bitrate,
        browser=browser,
        tables=described(found),
        machine=machine.machine(),
        versions=", ".join(f"{name} {text}" for name, text in machine.versions().items()),
    )


def main() -> None:
    """Run, print, and write the section."""
    chosen = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in [name for name in os.environ if name.startswith("CRADLE_")]:
        del os.environ[name]
    with chromium() as browser:
        version = browser.version
    with tempfile.TemporaryDirectory(prefix="cradle-wall-") as name:
        found = measured(chosen, Path(name))
    if not chosen.no_page:
        write_section(PAGE, "wall", section(chosen, found, version))
        say(f"written: {PAGE}")


if __name__ == "__main__":
    main()
