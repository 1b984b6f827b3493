"""What a long outage came to, and its section of docs/RELIABILITY.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.bench.machine import machine, versions
from tests.bench.page import table
from tests.faults.ledger import Verdict


@dataclass(frozen=True)
class Live:
    """How live was over some time (seconds)."""

    delay: float
    """Mean, from the capture of a segment's first frame to the playlist."""
    stall: float
    """The longest time in which some camera's playlist did not go on."""


@dataclass(frozen=True)
class Endured:
    """What one outage came to."""

    name: str
    seconds: float
    cameras: int
    verdict: Verdict
    live: Mapping[str, Live]
    """`before`, `meanwhile`, `after` (until all was worked off)."""
    back_seconds: float
    """From the return until every camera's playlist had gone on."""
    catch_up_seconds: float
    """From the return until everything that was complete by then was committed."""
    held_seconds: float
    """The longest that a delivery was held without an acknowledgement."""
    used: Mapping[str, float]
    """Share of one processor that each stage's workers took meanwhile."""
    lines: int
    """Log lines a minute meanwhile, of all workers."""
    grown_bytes: Mapping[str, int]
    """Resident memory, by stage, of the worker that grew most meanwhile."""
    overwritten: int

    @property
    def speed(self) -> float:
        """Seconds of the outage worked off in one second, all cameras at once."""
        return self.seconds / self.catch_up_seconds


def as_text(endured: Sequence[Endured], command: str, clip_seconds: int) -> str:
    """The section of the page."""
    rows = [
        [
            each.name,
            f"{each.seconds / 60:g}",
            f"{len(each.verdict.lost)} of {each.verdict.fragments}",
            str(len(each.verdict.duplicated) + len(each.verdict.different)),
            str(each.overwritten),
            f"{each.catch_up_seconds:.0f}",
            f"{each.speed:.1f}",
            f"{each.back_seconds:.1f}",
            " / ".join(f"{live.delay:.2f}" for live in each.live.values()),
            " / ".join(f"{live.stall:.1f}" for live in each.live.values()),
        ]
        for each in endured
    ]
    head = [
        "away", "min", "lost", "twice or other", "overwritten", "worked off in, s",
        "times real time", "live back, s", "delay, s", "stall, s",
    ]  # fmt: skip
    stages = sorted({stage for each in endured for stage in each.used})
    waiting = [
        [
            each.name,
            f"{each.held_seconds:.0f}",
            str(each.lines),
            *(f"{each.used[stage]:.3f}" if stage in each.used else "-" for stage in stages),
            *(f"{each.grown_bytes.get(stage, 0) / 2**20:+.0f}" for stage in stages),
        ]
        for each in endured
    ]
    waiting_head = [
        "away", "longest hold, s", "log lines a minute",
        *(f"{stage}, CPU" for stage in stages), *(f"{stage}, MiB" for stage in stages),
    ]  # fmt: skip
    cameras, known = endured[0].cameras, versions()
    return f"""\
## Long outages

Measured on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by the command below, the outages side by side on
one machine: each house has {cameras} cameras, clips of {clip_seconds} s, and two workers of each
stage.

    {command}

*Worked off* is the time from the return until everything was committed that was complete then.
*Delay* is the mean from the capture of a segment's first frame to the playlist, *stall* the longest
time in which some camera's playlist did not go on: before / meanwhile / until all was worked off.

{table(head, rows)}

What waiting cost, while something was away. No delivery may be held longer than
{clip_seconds + 600} s here. *CPU* is the share of one processor of all workers of a stage, *MiB*
what that one grew by that grew most.

{table(waiting_head, waiting)}

{", ".join(f"{name} {known[name]}" for name in ("Cradle", "RabbitMQ", "SeaweedFS"))};
{machine()}
"""
