"""docs/PERFORMANCE.md, and the same tables on the screen: figures in, text out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tests.bench.figures import OldWay, Result, Round, Tally

HIGHEST_COST: Final = 1.5
"""CPU-seconds per camera-minute, at `DEMANDING_CAMERAS`."""
HIGHEST_RATIO: Final = 2.5
"""Cradle to bare ffmpeg, at `DEMANDING_CAMERAS`."""
HIGHEST_P95_SECONDS: Final = 1.5
DEMANDING_CAMERAS: Final = 24

WALL_MARK: Final = "<!-- From here on: written by `python -m tests.bench.wall` -->"
"""Of docs/PERFORMANCE.md; what stands behind it is kept when the rest is written anew."""

FLOOR: Final = "bare ffmpeg"
OURS: Final = "Cradle"


@dataclass(frozen=True)
class Report:
    """Everything that the page says."""

    measured_at: datetime
    command: str
    machine: str
    versions: dict[str, str]
    settings: dict[str, str]
    rounds: Sequence[Round]
    old_way: OldWay | None

    def results(self) -> list[Result]:
        """In order of cameras, the floor first."""
        found = [result for each in self.rounds for result in each.results]
        return sorted(found, key=lambda result: (result.cameras, result.contender == OURS))

    def ratio(self, cameras: int) -> float | None:
        """Cradle's cost by the floor's, if both were measured."""
        cost = {each.contender: each.cost for each in self.results() if each.cameras == cameras}
        return cost[OURS] / cost[FLOOR] if cost.keys() >= {OURS, FLOOR} else None


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that also reads well as plain text: numbers stand at the right."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    numeric = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = (
        "-" * (width - 1) + ":" if right else "-" * width
        for width, right in zip(widths, numeric, strict=True)
    )
    return "\n".join([line(head), f"| {' | '.join(rule)} |", *map(line, rows)])


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace(".", "").replace(" of ", "").isdecimal()


def _of(tally: Tally) -> str:
    return f"{tally.lost} of {tally.expected}"


def comparison(report: Report) -> str:
    """The main table."""
    rows = []
    for each in report.results():
        ratio = report.ratio(each.cameras) if each.contender == OURS else None
        rows.append(
            [
                each.contender,
                str(each.cameras),
                f"{each.cost:.2f}",
                "-" if ratio is None else f"{ratio:.2f}",
                f"{each.memory_bytes / 2**20:.0f}",
                f"{each.delay.median:.2f}",
                f"{each.delay.p95:.2f}",
                f"{each.delay.worst:.2f}",
                _of(each.live),
                _of(each.recorded),
                str(each.live.repeated + each.recorded.repeated),
            ]
        )
    if report.old_way is not None:
        rows.append(["the old way", "1", f"{report.old_way.cost:.1f}", *["-"] * 8])
    head = ["", "cameras", "CPU-s per camera-minute", "ratio", "peak memory, MiB"]
    head += ["delay p50, s", "p95, s", "worst, s", "lost live", "lost recorded", "repeated"]
    return table(head, rows)


def parts(result: Result) -> str:
    """Where Cradle's CPU time and memory go."""
    order = sorted(result.cpu, key=lambda name: -result.cpu[name].total)
    rows = [
        [
            name,
            f"{result.per_camera_minute(result.cpu[name].total):.3f}",
            f"{result.per_camera_minute(result.cpu[name].own):.3f}",
            f"{result.per_camera_minute(result.cpu[name].children):.3f}",
            f"{result.memory.get(name, 0) / 2**20:.0f}",
        ]
        for name in order
    ]
    own, children = (
        sum(getattr(times, field) for times in result.cpu.values()) for field in ("own", "children")
    )
    rows.append(
        [
            "all",
            *(
                f"{result.per_camera_minute(value):.3f}"
                for value in (own + children, own, children)
            ),
            f"{result.memory_bytes / 2**20:.0f}",
        ]
    )
    head = ["part", "CPU-s per camera-minute", "itself", "its children", "memory, MiB"]
    return table(head, rows)


def goals(report: Report) -> str:
    """What was to be reached, and whether it was."""
    ours = [each for each in report.results() if each.contender == OURS]
    checks: list[tuple[str, str, bool]] = []
    for each in ours:
        if each.cameras == DEMANDING_CAMERAS:
            at = f"at {each.cameras} cameras"
            cost = f"at most {HIGHEST_COST} CPU-s per camera-minute {at}"
            checks.append((cost, f"{each.cost:.2f}", each.cost <= HIGHEST_COST))
            ratio = report.ratio(each.cameras)
            if ratio is not None:
                goal = f"at most {HIGHEST_RATIO} times bare ffmpeg {at}"
                checks.append((goal, f"{ratio:.2f}", ratio <= HIGHEST_RATIO))
    if ours:
        p95 = max(each.delay.p95 for each in ours)
        goal = f"delay under {HIGHEST_P95_SECONDS} s at p95 with a key frame each second"
        checks.append((goal, f"{p95:.2f}", p95 < HIGHEST_P95_SECONDS))
        lost = sum(each.live.lost + each.recorded.lost for each in ours)
        checks.append(("no frame lost, live or recorded", str(lost), lost == 0))
    rows = [[goal, found, "reached" if good else "**missed**"] for goal, found, good in checks]
    return table(["goal", "measured", ""], rows)


def conditions(report: Report) -> str:
    """What else the machine did."""
    rows = []
    for each in report.rounds:
        around = each.conditions
        shares = [
            sum(t.total for result in each.results for t in result.cpu.values()),
            around.cameras_cpu,
            around.bench_cpu,
            around.other_cpu,
        ]
        rows.append(
            [
                " beside ".join(result.contender for result in each.results),
                str(each.results[0].cameras),
                *(f"{around.share(seconds) * 100:.1f}" for seconds in shares),
                f"{around.late_p99_seconds * 1000:.1f}",
                str(around.cut_off),
            ]
        )
    head = ["measured", "cameras", "measured, % of machine", "cameras, %", "bench, %"]
    head += ["all else, %", "cameras late p99, ms", "cut off by cameras"]
    return table(head, rows)


_TEMPLATE: Final = """\
# Performance

Measured on {date} by the command below, which also wrote this page. Nothing here was entered by
hand.

    {command}

## What was reached

{goals}

{comparison}

*Cost* is CPU time of whole process trees, `utime + stime` of the living and of the children that
they have reaped, at the end of the measured time less that at its beginning. For Cradle that is
everything that `cradle up` runs: ingest, encoder and archiver with their ffmpegs, analyzer, broker,
object store and the supervisor itself. What plays the sources is left out, and so is the bench.
*Ratio* is Cradle's cost by that of bare ffmpeg. *Memory* is the largest sum of PSS seen, looked at
every {memory_seconds:.0f} s; files in the page cache are not in it.

*Delay* is from packet arrival to playlist, of every frame: the cameras mark each frame with its
number and the time just before its first byte goes to the socket, and stream copy keeps the mark;
a frame has arrived in the playlist when the first playlist that names its segment is moved into
place. *Lost* are frames that were due in the measured time and are in no published segment, or in
no recording: for Cradle in no clip whose manifest is in the object store, read back after the stop.

- **bare ffmpeg**: one process per camera, HLS and MP4 by stream copy, without anything around it:
  the floor. It has no index, no commit, no analysis, no reconnection, no second copy, and its MP4s
  have their index at the end.
- **Cradle**: `cradle up` with its defaults, private broker and object store, analysis by the
  provider `local`. Beside the same HLS it writes each frame to the frame store (synced to the disk
  once a second), to an MP4 with its index in front, and to the object store, and reads the MP4
  back.
- **the old way**: OpenCV decodes, each picture goes raw to an x264 for HLS and into an AVI that is
  converted to MP4 in the end (x264 preset `{preset}` both times). One camera, as fast as it goes,
  without sound.
{old_way}
## Where Cradle's time goes

{parts}
## What else the machine did meanwhile

{conditions}

Where both sides stand in one row they ran side by side, from the same cameras, under the same
noise. *All else* is the kernel's own threads, other programs, and time that the host took away.

## What was given and how

{settings}

| what | version |
| ---- | ------- |
{versions}

Machine: {machine}
"""


def page(report: Report, memory_seconds: float, preset: str) -> str:
    """The whole page."""
    old_way = ""
    if report.old_way is not None:
        old = report.old_way
        old_way = (
            f"  It took {old.cpu_seconds:.0f} CPU-seconds and {old.elapsed_seconds:.0f} s for "
            f"{old.pictures / old.frames_per_second:.0f} s of video.\n"
        )
    sections = []
    for each in report.results():
        if each.contender == OURS:
            sections.append(f"{each.cameras} camera(s):\n\n{parts(each)}\n")
        if each.troubles:
            text = ", ".join(f"{name}: {value:g}" for name, value in each.troubles.items())
            sections.append(f"{each.contender}, {each.cameras} camera(s), counted: {text}.\n")
    return _TEMPLATE.format(
        date=f"{report.measured_at:%Y-%m-%d %H:%M} UTC",
        command=report.command,
        goals=goals(report),
        comparison=comparison(report),
        memory_seconds=memory_seconds,
        preset=preset,
        old_way=old_way,
        parts="\n".join(sections),
        conditions=conditions(report),
        settings="\n".join(f"- {name}: {value}" for name, value in report.settings.items()),
        versions="\n".join(f"| {name} | {text} |" for name, text in report.versions.items()),
        machine=report.machine,
    )
