"""`cradle up`: everything on one machine, until Ctrl-C.

Says what is starting, prints what to open, then shows a line per camera: a table that refreshes on
a terminal, plain lines elsewhere. Restarts what dies or hangs. On Ctrl-C or SIGTERM, and when the
terminal is closed, everything stops in order and the exit code is 0.
"""

import argparse
import errno
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.local.house import House, Page
from deploy.local.status import CameraStatus
from deploy.local.vigil import HUNG_SECONDS
from shared import log
from shared.clock import SystemClock
from shared.errors import Misconfigured
from shared.messages import Stage
from shared.worker import stop_on_signals

PLAIN_SECONDS = 10.0
LIVE_SECONDS = 1.0
LEAST_HUNG_SECONDS = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `cradle up`."""
    parser.add_argument("--config", type=Path, required=True, help="cradle.yaml")
    parser.add_argument("--data", type=Path, required=True, help="folder for everything it keeps")
    parser.add_argument(
        "--workers",
        default="",
        metavar="STAGE=N,...",
        help="replicas, such as encoder=2,archiver=2",
    )
    parser.add_argument(
        "--seconds", type=float, default=None, help="stop by itself after so long (for trials)"
    )
    parser.add_argument(
        "--hung-seconds",
        type=float,
        default=HUNG_SECONDS,
        help="a worker whose /healthz is bad for so long is killed and started again "
        "(default: %(default)g)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop. Raises Misconfigured; returns the exit code."""
    log.configure("warning", "text")
    counts = parse_workers(arguments.workers)
    if not arguments.hung_seconds >= LEAST_HUNG_SECONDS:
        raise Misconfigured(f"--hung-seconds: at least {LEAST_HUNG_SECONDS:g}")
    console = Console()
    clock = SystemClock()
    stop = stop_on_signals()

    def say(text: str) -> None:
        with suppress(OSError):  # nobody reads it any more; what is being said is done all the same
            console.print(f"[dim]·[/dim] {text}", highlight=False)

    house = House(
        arguments.config,
        arguments.data,
        counts,
        clock,
        log.get_logger(),
        say,
        arguments.hung_seconds,
    )
    try:
        house.start()
        console.print()
        make_login = getattr(arguments, "make_login", None)
        login = None if make_login is None else make_login()
        if login is not None:
            console.print(f"  log in as {login[0]} with {login[1]}", highlight=False)
        for page in with_login(house.pages, login):
            note = f"  ({page.note})" if page.note else ""
            console.print(f"  {page.name:18} {page.address}{note}", highlight=False, soft_wrap=True)
        console.print("\n  Ctrl-C stops everything in order.\n", highlight=False)
        _show(house, console, stop, arguments.seconds)
    except OSError as error:
        if error.errno != errno.EIO:  # what a closed terminal answers; its SIGHUP comes as well
            raise
        _fall_silent()
    finally:
        house.stop()
    return 0


def with_login(pages: list[Page], login: tuple[str, str] | None) -> list[Page]:
    """The pages to print. For a demonstration the first one's link fills in the log-in form: what
    stands behind the `#` never leaves the browser but to log in."""
    if login is None:
        return pages
    first = pages[0]
    link = f"{first.address.partition('/setup')[0]}/login#{login[0]}:{login[1]}"
    return [Page(first.name, link, "open it"), *pages[1:]]


def _fall_silent() -> None:
    """What is still said on the way down, logs too, must not fail and so cut it short."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _show(house: House, console: Console, stop: threading.Event, seconds: float | None) -> None:
    clock = SystemClock()
    ends_at = None if seconds is None else clock.monotonic() + seconds
    watch = house.status()
    zone = house.settings.zone
    if not console.is_terminal:
        spoken_at = float("-inf")
        while not stop.wait(LIVE_SECONDS) and (ends_at is None or clock.monotonic() < ends_at):
            house.watch()
            if clock.monotonic() - spoken_at >= PLAIN_SECONDS:
                for status in watch.look(house.workers()):
                    print(status.line(zone), flush=True)
                spoken_at = clock.monotonic()
        return
    with Live(console=console, auto_refresh=False) as live:
        while not stop.wait(LIVE_SECONDS) and (ends_at is None or clock.monotonic() < ends_at):
            house.watch()
            titles = {camera.id: camera.title for camera in house.settings.cameras}
            live.update(_table(watch.look(house.workers()), titles, house), refresh=True)


def _table(statuses: list[CameraStatus], titles: dict[str, str], house: House) -> Table:
    refusals = [f"{name} is refused: {why}" for name, why in house.refusals().items()]
    caption = Text("\n".join(refusals)) if refusals else None
    table = Table(box=None, pad_edge=False, caption=caption, caption_justify="left")
    for heading in ("camera", "room", "state", "fps", "live delay", "clips", "last analysis"):
        table.add_column(heading)
    for status in statuses:
        rate, delay, seen = (
            status.frames_per_second,
            status.live_delay_seconds,
            status.analysed_at,
        )
        colour = "green" if status.state == "live" else "yellow"
        table.add_row(
            status.camera,
            titles[status.camera],
            f"[{colour}]{status.state}[/{colour}]",
            "-" if rate is None else f"{rate:.1f}",
            "-" if delay is None else f"{delay:.1f} s",
            str(status.clips),
            "-" if seen is None else f"{seen.astimezone(house.settings.zone):%H:%M:%S}",
        )
    return table


def parse_workers(text: str) -> dict[Stage, int]:
    """`encoder=2,archiver=2` as counts. Raises Misconfigured."""
    counts: dict[Stage, int] = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        if name not in {"ingest", "encoder", "archiver", "analyzer"} or not number.isdigit():
            raise Misconfigured(f"--workers: {part!r} is not like encoder=2")
        if not 1 <= int(number) <= 16:
            raise Misconfigured(f"--workers: {part!r}: between 1 and 16")
        counts[Stage(name)] = int(number)
    return counts


def main() -> None:
    """For `python -m deploy.command.up`."""
    parser = argparse.ArgumentParser(prog="cradle up", description=__doc__)
    add_arguments(parser)
    try:
        raise SystemExit(run(parser.parse_args()))
    except Misconfigured as error:
        print(f"cradle up: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
