"""docs/RELIABILITY.md: findings in, text out."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.bench.machine import machine, versions
from tests.bench.page import table
from tests.faults.plan import CLIP_SECONDS
from tests.faults.scene import HEARTBEAT_SECONDS, REPLICAS
from tests.faults.strikes import DETECTION_SECONDS, LONELY_KILLS
from tests.faults.trial import BATCH_SECONDS, Findings
from tests.sections import write_around_sections, write_section

LEAST_KILLS: Final = 100
TAKE_OVER_SECONDS: Final = 3.0
BACK_SECONDS: Final = 5.0
FROZEN_SECONDS: Final = 30.0
FLAT_MIB: Final = 24
"""The analyzer grows until Python looks for garbage for the first time (minutes), then no more."""
OVERLAP_SECONDS: Final = 3.0 * HEARTBEAT_SECONDS
_MIB: Final = 2**20
WARM_SECONDS: Final = 60.0
"""After so long a worker has loaded what it loads."""

PAGE: Final = Path(__file__).parents[2] / "docs" / "RELIABILITY.md"

_TEMPLATE: Final = """\
# Reliability

Measured on {date} by the command below, which also wrote the figures down. What
was found and is not mended stands at the end.

    python -m tests.faults {arguments}

{seconds:.0f} s with seed {seed}: {replicas} workers of each stage, two file and two RTSP cameras
with their frame numbers in the picture, clips of {clip_seconds} s, `heartbeat={heartbeat}`. A
worker that died is started again after a second. Every frame of every clip was decoded in the end
and compared with what ingest had closed.

## What was reached

{goals}

Deaths of workers: {kills}.

## By kind of fault

*Stall* is the longest time in which some camera's playlist did not go on, from the beginning of the
fault to 20 s after its end; *back* the longest time from its end until all cameras had gone on.
Other faults may fall into the same span.

{faults}

## Memory

Resident memory of the workers that lived longest, of each stage: after {warm:.0f} s, and at the end
of their lives.

{memory}

| what | version |
| ---- | ------- |
{versions}

Machine: {machine}
"""


_OTHER: Final = """\
## {title}

Measured on {date}, {seconds:.0f} s with seed {seed}, by

    python -m tests.faults {arguments}

{goals}

Deaths of workers: {kills}.

{faults}
"""


def _count(what: Sequence[str]) -> str:
    return f"{len(what)}: {', '.join(what)}" if what else "0"


def _worst(times: Mapping[str, float], is_meant: Callable[[str], bool]) -> tuple[float, str]:
    """The longest of the kinds that are meant, and in words."""
    meant = {kind: seconds for kind, seconds in times.items() if is_meant(kind)}
    if not meant:
        return 0.0, "not tried"
    kind = max(meant, key=lambda each: meant[each])
    return meant[kind], f"{meant[kind]:.1f} s ({kind})"


def _is_death(kind: str) -> bool:
    return kind in LONELY_KILLS or kind.startswith("kill ingest")


def _is_broker(kind: str) -> bool:
    return kind in {"kill broker", "kill broker and ingest", "broker loses its data"}


def _must_be_noticed(kind: str) -> bool:
    is_silence = kind.startswith(("freeze ", "network of ")) or kind == "camera silent"
    return is_silence and not kind.endswith("briefly") and kind != "freeze broker"


def live_goals(found: Findings) -> list[tuple[str, str, bool]]:
    """How soon live is back."""
    limit = f"{BACK_SECONDS:g} s"
    after_death, death_words = _worst(found.back, _is_death)
    after_broker, broker_words = _worst(found.back, _is_broker)
    noticed, noticed_words = _worst(found.stalls, _must_be_noticed)
    longest = DETECTION_SECONDS + BACK_SECONDS
    return [
        (f"live back within {limit} of a worker's death", death_words, after_death <= BACK_SECONDS),
        (
            f"live back within {limit} of the broker accepting connections",
            broker_words,
            after_broker <= BACK_SECONDS,
        ),
        (
            f"live still for at most {DETECTION_SECONDS:g} s (detection) + {limit} after a freeze, "
            "a cut, or a silent camera",
            noticed_words,
            noticed <= longest,
        ),
    ]


def are_reached(found: Findings) -> bool:
    """Whether all of them were."""
    return all(good for _, _, good in checks(found)) and not found.missed


def goals(found: Findings) -> str:
    """What was to be reached, and whether it was."""
    rows = [[goal, what, "reached" if good else "**missed**"] for goal, what, good in checks(found)]
    return table(["goal", "measured", ""], rows)


def checks(found: Findings) -> list[tuple[str, str, bool]]:
    """Each goal, what was measured, and whether that is it."""
    verdict, total = found.verdict, sum(found.kills.values())
    slowest = max((each.seconds for each in found.thawed), default=0.0)
    lives = longest_lives(found).values()
    grown = max((life[-1][1] - life[0][1] for life in lives), default=0) / _MIB
    worst_cut = max(found.cut_off_seconds, default=0.0)
    return [
        (f"at least {LEAST_KILLS} workers killed", str(total), total >= LEAST_KILLS),
        ("workers that ended by themselves", _count(found.fallen), not found.fallen),
        (
            "closed fragments in no clip",
            f"{len(verdict.lost)} of {verdict.fragments} ({verdict.frames} frames)",
            not verdict.lost,
        ),
        (
            "deleted for want of room, in the custody record (allowed)",
            str(len(verdict.given_up)),
            True,
        ),
        ("fragments in more than one clip", str(len(verdict.duplicated)), not verdict.duplicated),
        (
            "clips with other frames, or in another order, than was stored",
            str(len(verdict.different)),
            not verdict.different,
        ),
        (
            "fragments deleted by hand and not in the custody record, or called lost and stored",
            str(len(verdict.untold) + len(verdict.contradicted)),
            not (verdict.untold or verdict.contradicted),
        ),
        ("objects overwritten", str(len(found.overwritten)), not found.overwritten),
        (
            f"take-over of a dead worker's seat under {TAKE_OVER_SECONDS:g} s (p95)",
            f"{found.take_over_p95():.2f} s, worst {found.take_over_worst():.2f} s, "
            f"of {len(found.taken)}",
            found.take_over_p95() < TAKE_OVER_SECONDS,
        ),
        (
            f"take-over of a frozen worker's seat within {FROZEN_SECONDS:g} s",
            f"worst {slowest:.1f} s, of {len(found.thawed)}",
            slowest <= FROZEN_SECONDS,
        ),
        (
            f"memory of the longest-lived worker of each stage grows by at most {FLAT_MIB} MiB",
            f"{grown:+.0f} MiB",
            grown <= FLAT_MIB,
        ),
        (
            f"two awake workers with one seat: at most {OVERLAP_SECONDS:g} s",
            f"{found.overlap_seconds:.2f} s",
            found.overlap_seconds <= OVERLAP_SECONDS,
        ),
        (
            f"a killed ingest costs at most {BATCH_SECONDS:g} s of what had come",
            f"worst {worst_cut:.2f} s, of {len(found.cut_off_seconds)}",
            worst_cut <= BATCH_SECONDS,
        ),
        *live_goals(found),
        (
            "playlists that went back or ended",
            str(len(found.live_faults)),
            not found.live_faults,
        ),
    ]


def faults(found: Findings) -> str:
    """A line for each kind of fault."""
    times = Counter(blow.kind for blow in found.blows)
    rows = [
        [kind, str(times[kind]), f"{found.stalls[kind]:.1f}", f"{found.back[kind]:.1f}"]
        for kind in sorted(times)
    ]
    return table(["fault", "times", "stall, s", "back, s"], rows)


def longest_lives(found: Findings) -> dict[str, list[tuple[float, int]]]:
    """Age and resident bytes, from `WARM_SECONDS` on, of the oldest worker of each stage."""
    lives: dict[tuple[str, int], list[tuple[float, int]]] = {}
    for each in found.memory:
        if each.age_seconds >= WARM_SECONDS:
            stage = each.worker.partition("-")[0]
            lives.setdefault((stage, each.pid), []).append((each.age_seconds, each.resident_bytes))
    longest: dict[str, list[tuple[float, int]]] = {}
    for (stage, _), life in lives.items():
        if life[-1][0] > longest.get(stage, [(0.0, 0)])[-1][0]:
            longest[stage] = life
    return longest


def memory(found: Findings) -> str:
    """The longest life of each stage."""
    rows = [
        [stage, f"{life[-1][0]:.0f}", f"{life[0][1] / _MIB:.0f}", f"{life[-1][1] / _MIB:.0f}"]
        for stage, life in sorted(longest_lives(found).items())
    ]
    return table(["stage", "age, s", "MiB then", "MiB at the end"], rows)


def _kills(found: Findings) -> str:
    return ", ".join(f"{stage} {count}" for stage, count in sorted(found.kills.items()))


def summary(found: Findings) -> str:
    """For the screen."""
    return f"\n{goals(found)}\n\n{faults(found)}\n\n{memory(found)}\n"


def write_page(path: Path, found: Findings, arguments: str) -> None:
    """Write all but the sections of other commands, which stay as they are."""
    text = _TEMPLATE.format(
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        arguments=arguments,
        seconds=found.seconds,
        seed=found.seed,
        replicas=REPLICAS,
        clip_seconds=CLIP_SECONDS,
        heartbeat=HEARTBEAT_SECONDS,
        goals=goals(found),
        kills=_kills(found),
        faults=faults(found),
        warm=WARM_SECONDS,
        memory=memory(found),
        versions="\n".join(f"| {name} | {text} |" for name, text in versions().items()),
        machine=machine(),
    )
    write_around_sections(path, text)


def write_other(path: Path, found: Findings, name: str, title: str, arguments: str) -> None:
    """Write a run in another house than the usual one, as a section."""
    text = _OTHER.format(
        title=title,
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        seconds=found.seconds,
        seed=found.seed,
        arguments=arguments,
        goals=goals(found),
        kills=_kills(found),
        faults=faults(found),
    )
    write_section(path, name, text)
