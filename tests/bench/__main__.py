"""`make bench`: measures, prints, and writes docs/PERFORMANCE.md.

    python -m tests.bench                               about 17 minutes, 20 GB of disk for a while
    python -m tests.bench --quick                       about a minute, to see that it works
    python -m tests.bench --cameras 60 --page more.md   how far it goes

Footage is encoded first. Then come rounds with 1, 8 and 24 cameras, in which bare ffmpeg and Cradle
run side by side, or one after the other where that is too much for the machine, and in the end the
old way.
"""

import argparse
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from shared.config import Settings
from tests.bench import footage, machine, old_way, plain_ffmpeg
from tests.bench.contender import Contender
from tests.bench.cradle import Cradle
from tests.bench.figures import OldWay, Round
from tests.bench.measure import MEMORY_SECONDS, ROOT, Plan, measure
from tests.bench.page import Report, comparison, conditions, goals, page, parts
from tests.sections import write_around_sections

PAGE: Final = ROOT / "docs" / "PERFORMANCE.md"
FOOTAGE_SECONDS: Final = 20
UNMEASURED_SECONDS: Final = 90
"""Of a round: warming up, and the end."""
COPIES: Final = 6
"""Of all footage: recordings and segments of both sides, frame store, a clip being made."""


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options. Exits with a sentence if they make no sense."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--cameras", default="1,8,24", help="one round for each of these numbers")
    parser.add_argument("--seconds", type=int, default=180, help="measured time of a round")
    parser.add_argument("--clip-seconds", type=int, default=60, help="length of a recording")
    parser.add_argument("--warm-up", type=float, default=15.0, help="seconds before, once all run")
    parser.add_argument(
        "--beside", type=int, default=24, help="up to so many cameras both sides run side by side"
    )
    parser.add_argument("--old-way-seconds", type=int, default=FOOTAGE_SECONDS, help="0: leave out")
    parser.add_argument("--work", type=Path, default=None, help="folder for it all; emptied after")
    parser.add_argument("--logs", type=Path, default=None, help="keep all programs' logs here")
    parser.add_argument("--page", type=Path, default=None, help=f"default: {PAGE.name} in docs")
    parser.add_argument("--quick", action="store_true", help="short, and without a page")
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.cameras, chosen.seconds, chosen.clip_seconds = "2", 20, 10
        chosen.warm_up, chosen.old_way_seconds = 3.0, 2
    elif chosen.page is None:
        chosen.page = PAGE
    try:
        chosen.cameras = [int(text) for text in chosen.cameras.split(",")]
    except ValueError:
        parser.error("--cameras: numbers with commas between them, such as 1,8,24")
    if min(chosen.cameras) < 1:
        parser.error("--cameras: at least 1")
    if chosen.seconds < 1 or chosen.seconds % chosen.clip_seconds:
        parser.error("--seconds: must be a multiple of --clip-seconds, for whole clips")
    return chosen


def say(text: str) -> None:
    """Progress, for who waits."""
    print(f"{datetime.now(UTC):%H:%M:%S}  {text}", flush=True)


def rounds(chosen: argparse.Namespace, work: Path, film: Path) -> Iterator[Round]:
    """Do them all. Raises CradleError, TimeoutError."""
    for cameras in chosen.cameras:
        plan = Plan(
            cameras, chosen.seconds, chosen.clip_seconds, chosen.warm_up, film, work / "round"
        )
        floor = plain_ffmpeg.PlainFfmpeg(plan.folder / "ffmpeg", plan.clip_seconds)
        ours = Cradle(plan.folder / "cradle", plan.clip_seconds)
        both: list[list[Contender]] = (
            [[floor, ours]] if cameras <= chosen.beside else [[floor], [ours]]
        )
        for contenders in both:
            names = " beside ".join(each.name for each in contenders)
            say(f"{cameras} camera(s): {names}")
            try:
                done = measure(plan, contenders, say)
            finally:
                if chosen.logs is not None:
                    _keep_logs(plan.folder, chosen.logs / f"{cameras}-cameras")
                shutil.rmtree(plan.folder)
            for result in done.results:
                if result.contender == ours.name:
                    print(f"\n{parts(result)}\n", flush=True)
            yield done


def _keep_logs(folder: Path, kept: Path) -> None:
    for log in folder.rglob("*.log"):
        copy = kept / log.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, copy)


def measure_old_way(film: Path, folder: Path) -> OldWay:
    """Run it alone. Raises CalledProcessError."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.bench.old_way"]
    command += ["--footage", str(film), "--folder", str(folder)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    elapsed = time.monotonic() - began
    return OldWay(used, elapsed, int(done.stdout), footage.FRAMES_PER_SECOND)


def described(chosen: argparse.Namespace, film: footage.Footage) -> dict[str, str]:
    """What was given, for the page."""
    plain = shlex.join(plain_ffmpeg.command("rtsp://...", chosen.clip_seconds))
    defaults = Settings()
    return {
        "Footage": f"{footage.WIDTH}x{footage.HEIGHT}, {footage.FRAMES_PER_SECOND} frames per "
        f"second, H.264 at {film.bits_per_second / 1e6:.1f} Mbit/s, a key frame each second, no "
        f"B-frames; AAC at {footage.AUDIO_BITS_PER_SECOND // 1000} kbit/s. Encoded before by "
        f"`{shlex.join(footage.encode_command(Path('footage.mp4'), FOOTAGE_SECONDS))}`",
        "Cameras": "one process that sends it over RTSP (TCP, on loopback) at its own pace, each "
        "camera with its key frames at another moment of the second",
        "Measured": f"{chosen.seconds} s a round, {chosen.warm_up:.0f} s or more after all cameras "
        f"were live; recordings of {chosen.clip_seconds} s, so that making "
        f"{chosen.seconds // chosen.clip_seconds} of them for each camera lies within it",
        "bare ffmpeg": f"`{plain}`",
        "Cradle": f"`archive.clip_seconds: {chosen.clip_seconds}`, else its defaults: "
        f"`frames.batch_seconds: {defaults.frames.batch_seconds:g}`, "
        f"`live.segment_seconds: {defaults.live.segment_seconds:g}`, "
        f"`analysis.interval_seconds: {defaults.analysis.interval_seconds:g}`; one worker a stage",
    }


def _require_space(chosen: argparse.Namespace, work: Path) -> None:
    """Exits with a sentence if the largest round does not fit the disk."""
    bits = footage.VIDEO_BITS_PER_SECOND * 1.1 + footage.AUDIO_BITS_PER_SECOND
    needed = max(chosen.cameras) * (chosen.seconds + UNMEASURED_SECONDS) * COPIES * bits / 8
    free = shutil.disk_usage(work).free
    if free < needed:
        sys.exit(
            f"{work} has {free / 2**30:.0f} GiB free, and {needed / 2**30:.0f} are needed; choose "
            "another place with --work, or fewer --cameras or --seconds"
        )


def bench(chosen: argparse.Namespace, work: Path) -> Report:
    """Measure everything. Raises CradleError, TimeoutError, CalledProcessError."""
    _require_space(chosen, work)
    say("encoding the footage")
    film = work / "footage.mp4"
    footage.encode(film, FOOTAGE_SECONDS)
    report = Report(
        measured_at=datetime.now(UTC),
        command=shlex.join([".venv/bin/python", "-m", "tests.bench", *sys.argv[1:]]),
        machine=machine.machine(),
        versions=machine.versions(),
        settings=described(chosen, footage.load(film)),
        rounds=list(rounds(chosen, work, film)),
        old_way=None,
    )
    if not chosen.old_way_seconds:
        return report
    say("the old way")
    short = work / "short.mp4"
    footage.encode(short, chosen.old_way_seconds)
    return replace(report, old_way=measure_old_way(short, work / "old-way"))


def main() -> None:
    """Run, print, and write the page."""
    chosen = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # in order, and nothing stays behind
    for name in [name for name in os.environ if name.startswith("CRADLE_")]:
        del os.environ[name]  # what is measured is what the page says
    with tempfile.TemporaryDirectory(prefix="cradle-bench-", dir=chosen.work) as folder:
        report = bench(chosen, Path(folder))
    print(f"\n{comparison(report)}\n\n{goals(report)}\n\n{conditions(report)}\n")
    if chosen.page is not None:
        text = page(report, MEMORY_SECONDS, old_way.PRESET)
        write_around_sections(chosen.page, text)
        say(f"written: {chosen.page}")


if __name__ == "__main__":
    main()
