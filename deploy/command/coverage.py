"""`cradle coverage`: what of a day is stored, and why the rest is not.

A day is the local one in `timezone` (23 or 25 hours long when the clocks change). Everything is
read from the object store alone and computed in `shared/coverage`; today counts up to now, less
what may still be on its way. Printed as a table, as `--json`, or as one `--line` a camera.
"""

import argparse
import json
import re
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from deploy.command import connections
from shared.clock import Clock, SystemClock, from_milliseconds
from shared.config import Settings
from shared.coverage.causes import Cause
from shared.coverage.day import Coverage, Evidence, Hole, Rules, cover
from shared.coverage.evidence import collect
from shared.coverage.facts import as_facts
from shared.coverage.footage import Span
from shared.coverage.localday import local_day
from shared.errors import Misconfigured
from shared.identity import CAMERA_PATTERN
from shared.objectstore import ObjectStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `cradle coverage`."""
    connections.add_arguments(parser)
    parser.add_argument("--camera", metavar="ID", help="all of the configuration if not given")
    parser.add_argument(
        "--date", default="today", metavar="D", help="YYYY-MM-DD, today or yesterday, local time"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for programs")
    form.add_argument("--line", action="store_true", help="one line a camera")


def run(arguments: argparse.Namespace) -> int:
    """Print the coverage. Raises Misconfigured, StoreUnavailable."""
    settings = connections.settings_with_store(arguments)
    clock = SystemClock()
    now = clock.now()
    day = parse_date(arguments.date, now, settings.zone)
    bounds = day_bounds(day, settings.zone, now)
    store = ObjectStore(settings.archive)
    found = []
    for camera in cameras_of(arguments.camera, settings):
        evidence, coverage = of_camera(store, settings, camera, bounds, clock)
        if evidence.recording_since is None and settings.camera(camera) is None:
            raise Misconfigured(
                f"--camera: {camera} is neither in {arguments.config} nor in the bucket"
            )
        found.append((evidence, coverage))
    if arguments.json:
        facts = [as_facts(evidence, coverage) for evidence, coverage in found]
        document = {"date": day.isoformat(), "timezone": settings.timezone, "cameras": facts}
        print(json.dumps(document, indent=1, ensure_ascii=False))
        return 0
    for evidence, coverage in found:
        if arguments.line:
            print(as_line(coverage, day))
        else:
            print(as_table(evidence, coverage, day, settings.zone))
    return 0


def of_camera(
    store: ObjectStore, settings: Settings, camera: str, bounds: Span, clock: Clock
) -> tuple[Evidence, Coverage]:
    """Read the bucket and account for one camera's day. Raises StoreUnavailable, Misconfigured."""
    evidence = collect(store, camera, bounds)
    return evidence, cover(evidence, bounds, clock.now(), Rules.of(settings))


def cameras_of(chosen: str | None, settings: Settings) -> list[str]:
    """The one that was named, or all of the configuration. Raises Misconfigured."""
    if chosen is None:
        if not settings.cameras:
            raise Misconfigured("cameras: there is none; add one, or name it with --camera")
        return [camera.id for camera in settings.cameras]
    if re.fullmatch(CAMERA_PATTERN, chosen) is None:
        raise Misconfigured(f"--camera: {chosen!r} cannot be the id of a camera")
    return [chosen]


# -- days -----------------------------------------------------------------------------------------


def parse_date(text: str, now: datetime, zone: ZoneInfo) -> date:
    """A local day. Raises Misconfigured."""
    today = now.astimezone(zone).date()
    if text in {"today", "yesterday"}:
        return today - timedelta(days=text == "yesterday")
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day, not a moment
    except ValueError:
        raise Misconfigured(
            f"--date: {text!r} is not a day; write it as 2026-03-01, today or yesterday"
        ) from None


def day_bounds(day: date, zone: ZoneInfo, now: datetime) -> Span:
    """`local_day`. Raises Misconfigured for a day that was not or has not begun."""
    try:
        return local_day(day, zone, now)
    except ValueError as error:
        raise Misconfigured(f"--date: {error}") from None


# -- what is printed ------------------------------------------------------------------------------


def duration_words(span_milliseconds: int) -> str:
    """`23 h 59 m 12 s`, `12.5 s`, `40 ms`: as exact as a person needs."""
    if span_milliseconds < 1000:
        return f"{span_milliseconds} ms" if span_milliseconds else "0 s"
    if span_milliseconds < 60_000:
        return f"{span_milliseconds // 100 / 10:g} s"
    seconds = span_milliseconds // 1000
    parts = ((seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    return " ".join(f"{value} {unit}" for value, unit in parts if value)


def by_cause(holes: list[Hole]) -> dict[Cause, int]:
    """Milliseconds by cause, the longest first."""
    sums: dict[Cause, int] = {}
    for hole in holes:
        cause = hole.reason.cause
        sums[cause] = sums.get(cause, 0) + hole.span.milliseconds
    return dict(sorted(sums.items(), key=lambda pair: -pair[1]))


def as_line(coverage: Coverage, day: date) -> str:
    """One line that a person can read."""
    missing = coverage.missing_milliseconds
    text = f"{coverage.camera} {day}: {duration_words(coverage.stored_milliseconds)} stored, "
    text += f"{duration_words(missing)} missing" if missing else "nothing missing"
    causes = [
        f"{cause} {duration_words(length)}" for cause, length in by_cause(coverage.missing).items()
    ]
    text += f": {', '.join(causes)}" if causes else ""
    pending = coverage.pending_milliseconds
    return text + (f"; {duration_words(pending)} not yet stored" if pending else "")


def as_table(evidence: Evidence, coverage: Coverage, day: date, zone: ZoneInfo) -> str:
    """Sums, then every gap."""
    length = coverage.day.milliseconds
    share = coverage.stored_milliseconds * 10_000 // length / 100
    lines = [
        f"{coverage.camera}  {day} {zone.key}, {duration_words(length)}",
        f"  captured        {duration_words(coverage.captured_milliseconds)}",
        f"  stored          {duration_words(coverage.stored_milliseconds)}  ({share:g} %)",
        f"  missing         {duration_words(coverage.missing_milliseconds)}",
    ]
    if coverage.pending:
        lines.append(f"  not yet stored  {duration_words(coverage.pending_milliseconds)}")
    if coverage.holes:
        width = len(_local(0, coverage.day, zone))
        lines.append(f"  {'from':{width}}  {'to':{width}}  {'length':>14}  reason")
    for hole in coverage.holes:
        starts = _local(hole.span.starts, coverage.day, zone)
        ends = _local(hole.span.ends, coverage.day, zone)
        length_words = duration_words(hole.span.milliseconds)
        reason = f"{hole.reason.cause}: {hole.reason.words}"
        lines.append(f"  {starts}  {ends}  {length_words:>14}  {reason}")
    lines += [f"  warning: {sentence}" for sentence in evidence.damaged_records]
    return "\n".join(lines) + "\n"


def _local(moment: int, day: Span, zone: ZoneInfo) -> str:
    """Time of day; with its offset on a day on which the clocks change."""
    first, last, local = (
        from_milliseconds(each).astimezone(zone) for each in (day.starts, day.ends, moment)
    )
    offset = "" if first.utcoffset() == last.utcoffset() else f"{local:%z}"
    return f"{local:%H:%M:%S.%f}"[:-3] + offset
