"""What it costs that stages share no disk: frames and live in buckets beside folders.

    python -m tests.bench.buckets       about 4 minutes; writes its part of PERFORMANCE.md

Two houses, each a whole `cradle up` with its own broker and object store, record the same cameras
at the same time; the one keeps frames and live output in folders, the other in buckets. The delay
is the encoder's own figure: from the capture of a segment's first frame until the playlist that
names it can be read.
"""

import argparse
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from deploy.local.ports import free_ports
from deploy.local.status import fetch
from tests.bench import footage, machine, processes
from tests.bench.__main__ import FOOTAGE_SECONDS, PAGE, say
from tests.bench.cradle import Cradle
from tests.bench.measure import Cameras, Plan
from tests.bench.page import table
from tests.bench.processes import Times
from tests.sections import write_section

BUCKETS: Final = {"frames": {"url": "s3://cradle-frames"}, "live": {"url": "s3://cradle-live"}}
START_SECONDS: Final = 120.0
DELAY: Final = "cradle_encoder_live_delay_seconds_bucket"

_TEXT: Final = """\
## Without a shared disk

Measured on {date} by

    {command}

{cameras} cameras of 1080p30, recorded by two houses at once on this machine: one with frames and
live output in folders, one with both in buckets (`frames.url: s3://...`, `live.url: s3://...`). A
batch is a whole fragment in a bucket, so live waits for a GOP (1 s here) more.

{table}

*Delay* is from the capture of a segment's first frame, one second before its last, until the
playlist that names it can be read, by the encoder's own figure: an epoch's clock begins when a
camera has been looked at, so it is some tenths of a second short, in both houses alike. Given are
the upper edges of the histogram's buckets that hold the half and 95 %. CPU time is that of all of a
house, broker and store included.

Machine: {machine}. {versions}.
"""


@dataclass(frozen=True)
class Reading:
    """Of one house, at one moment."""

    delays: Mapping[float, float]
    """Segments so far, by the upper edge of the bucket that they fall into, cumulated."""
    times: Mapping[str, Times]


@dataclass(frozen=True)
class Figures:
    """Of one house, over the measured time."""

    name: str
    segments: int
    delay_half_seconds: float
    delay_p95_seconds: float
    cpu_seconds: Mapping[str, float]
    """By worker and server, for each camera and minute."""


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.buckets", description=__doc__)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=120, help="measured time")
    parser.add_argument("--no-page", action="store_true", help="only print")
    return parser.parse_args(arguments)


def read(house: Cradle) -> Reading:
    """How it stands."""
    delays: dict[float, float] = {}
    for family in text_string_to_metric_families(fetch(house.metrics_address("encoder"))):
        for sample in family.samples:
            if sample.name == DELAY:
                edge = float(sample.labels["le"])
                delays[edge] = delays.get(edge, 0.0) + sample.value
    return Reading(delays, processes.times(processes.processes(), house.named_processes()))


def share_below(counts: Mapping[float, float], share: float) -> float:
    """The upper edge of the bucket that holds this share of a cumulated histogram."""
    total = max(counts.values(), default=0.0)
    return min((edge for edge, count in counts.items() if count >= share * total), default=0.0)


def figures(name: str, first: Reading, last: Reading, camera_minutes: float) -> Figures:
    """What lies between two readings."""
    counts = {edge: last.delays[edge] - first.delays.get(edge, 0.0) for edge in last.delays}
    none = Times(0.0, 0.0)
    return Figures(
        name,
        round(max(counts.values(), default=0.0)),
        share_below(counts, 0.5),
        share_below(counts, 0.95),
        {
            each: last.times[each].since(first.times.get(each, none)).total / camera_minutes
            for each in last.times
        },
    )


def measured(cameras: int, seconds: int, folder: Path) -> list[Figures]:
    """Both houses, side by side. Raises CradleError, TimeoutError."""
    film = folder / "footage.mp4"
    footage.encode(film, FOOTAGE_SECONDS)
    sources = Cameras(Plan(cameras, seconds, 60, 0, film, folder))
    with ExitStack() as stack:
        stack.callback(sources.kill)
        sources.start()
        ports = free_ports(2)  # two houses cannot both have the page's own
        houses = [
            Cradle(folder / "folders", 60, {"viewer": {"port": ports[0]}}),
            Cradle(folder / "buckets", 60, {**BUCKETS, "viewer": {"port": ports[1]}}),
        ]
        for house in houses:
            stack.callback(house.stop)
            house.start(sources.sources)
        deadline = time.monotonic() + START_SECONDS
        while not all(_is_live(read_quietly(house), cameras) for house in houses):
            if time.monotonic() > deadline:
                raise TimeoutError("not all cameras were live in time")
            time.sleep(1)
        say(f"all cameras are live in both houses; measuring {seconds} s")
        first = [read(house) for house in houses]
        time.sleep(seconds)
        last = [read(house) for house in houses]
    names = ("folders", "buckets")
    minutes = cameras * seconds / 60
    return [figures(*each, minutes) for each in zip(names, first, last, strict=True)]


def read_quietly(house: Cradle) -> Reading:
    """Nothing of a house that is still starting."""
    try:
        return read(house)
    except (FileNotFoundError, KeyError):
        return Reading({}, {})


def _is_live(reading: Reading, cameras: int) -> bool:
    return max(reading.delays.values(), default=0.0) >= 3 * cameras


def described(found: list[Figures]) -> str:
    """A table, one column a house."""
    parts = sorted({part for each in found for part in each.cpu_seconds})
    rows = [
        ["segments", *(str(each.segments) for each in found)],
        ["delay, half", *(f"{each.delay_half_seconds:g} s" for each in found)],
        ["delay, 95 %", *(f"{each.delay_p95_seconds:g} s" for each in found)],
        [
            "CPU-seconds a camera-minute",
            *(f"{sum(each.cpu_seconds.values()):.2f}" for each in found),
        ],
        *(
            [f"... {part}", *(f"{each.cpu_seconds.get(part, 0.0):.2f}" for each in found)]
            for part in parts
        ),
    ]
    return table(["", *(each.name for each in found)], rows)


def main() -> None:
    """Run, print, and write the section."""
    chosen = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in [name for name in os.environ if name.startswith("CRADLE_")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="cradle-buckets-") as folder:
        found = measured(chosen.cameras, chosen.seconds, Path(folder))
    print(f"\n{described(found)}\n")
    if not chosen.no_page:
        text = _TEXT.format(
            date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            command=shlex.join([".venv/bin/python", "-m", "tests.bench.buckets", *sys.argv[1:]]),
            cameras=chosen.cameras,
            table=described(found),
            machine=machine.machine(),
            versions=", ".join(f"{name} {text}" for name, text in machine.versions().items()),
        )
        write_section(PAGE, "buckets", text)
        say(f"written: {PAGE}")


if __name__ == "__main__":
    main()
