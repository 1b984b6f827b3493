"""Who held which seat, and when: read from the workers' logs.

A tenure begins with `seat.taken` and ends with `seat.released` or `seat.lost`, with the death of
the worker, or, for an ingest that goes on recording without its seat, when it stops. While a worker
is frozen it holds a seat only in its own mind: that time is left out.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

from tests.faults.scene import Death

NEVER = datetime.max.replace(tzinfo=UTC)
STOPPED = ("another worker has the seat", "another worker has closed this epoch")
"""Why an ingest that went on recording without its seat stops."""
_ENDS = ("seat.released", "seat.lost")


@dataclass(frozen=True)
class Tenure:
    """One worker held one seat."""

    stage: str
    camera: str
    worker: str
    began_at: datetime
    ended_at: datetime


@dataclass(frozen=True)
class TakeOver:
    """The seat of a worker that died was taken by the next."""

    stage: str
    camera: str
    seconds: float


def tenures(logs: Path, deaths: Sequence[Death]) -> list[Tenure]:
    """All tenures in the logs of a folder (`<worker>.log`), by their beginning."""
    found: list[Tenure] = []
    for log in sorted(logs.glob("*-[0-9].log")):
        worker = log.stem
        ends = sorted(death.at for death in deaths if death.worker == worker)
        begun: dict[str, datetime] = {}
        stage = worker.partition("-")[0]

        def end(
            camera: str,
            at: datetime,
            begun: dict[str, datetime] = begun,
            worker: str = worker,
            stage: str = stage,
        ) -> None:
            began_at = begun.pop(camera)
            found.append(Tenure(stage, camera, worker, began_at, at))

        for at, action, camera in _lines(log):
            while ends and ends[0] <= at:
                died_at = ends.pop(0)
                for each in [each for each, began_at in begun.items() if began_at < died_at]:
                    end(each, died_at)
            if action == "seat.taken":
                begun.setdefault(camera, at)
            elif camera in begun:
                end(camera, at)
        for each, began_at in list(begun.items()):
            end(each, next((at for at in ends if at > began_at), NEVER))
    return sorted(found, key=lambda tenure: tenure.began_at)


def _lines(log: Path) -> Iterator[tuple[datetime, str, str]]:
    for line in log.read_text(errors="replace").splitlines():
        if '"seat.' not in line and not any(each in line for each in STOPPED):
            continue
        try:
            said = json.loads(line)
        except ValueError:
            continue  # cut short by a kill
        is_stopped = said.get("action") == "epoch.ended" and said["reason"] in STOPPED
        if is_stopped or said.get("action") in ("seat.taken", *_ENDS):
            yield datetime.fromisoformat(said["time"]), said["action"], said["camera"]


def take_overs(held: Sequence[Tenure], deaths: Sequence[Death]) -> list[TakeOver]:
    """For every seat that ended with a death, the time until somebody had it again."""
    died = {(death.worker, death.at) for death in deaths}
    found = []
    for tenure in held:
        if (tenure.worker, tenure.ended_at) not in died:
            continue
        following = [
            other.began_at
            for other in held
            if (other.stage, other.camera) == (tenure.stage, tenure.camera)
            and other.began_at >= tenure.ended_at
        ]
        taken_at = min(following, default=max(each.began_at for each in held))  # by nobody: so far
        seconds = max(0.0, (taken_at - tenure.ended_at).total_seconds())
        found.append(TakeOver(tenure.stage, tenure.camera, seconds))
    return found


def frozen_take_overs(held: Sequence[Tenure], freezes: Sequence[Death]) -> list[TakeOver]:
    """For every seat of a worker that froze, the time until another had it, if one came to that."""
    found = []
    for freeze in freezes:
        for tenure in held:
            if tenure.worker != freeze.worker or not (
                tenure.began_at <= freeze.at <= tenure.ended_at
            ):
                continue
            following = [
                other.began_at
                for other in held
                if (other.stage, other.camera) == (tenure.stage, tenure.camera)
                and other.worker != freeze.worker
                and freeze.at < other.began_at <= (freeze.ended_at or NEVER)
            ]
            if following:
                seconds = (min(following) - freeze.at).total_seconds()
                found.append(TakeOver(tenure.stage, tenure.camera, seconds))
    return found


def longest_overlap_seconds(held: Sequence[Tenure], freezes: Sequence[Death]) -> float:
    """The longest time for which two workers, both awake, believed to hold the same seat."""
    longest = 0.0
    seats: dict[tuple[str, str], list[Tenure]] = {}
    for tenure in held:
        seats.setdefault((tenure.stage, tenure.camera), []).append(tenure)
    for of_seat in seats.values():
        for one, other in combinations(of_seat, 2):
            if one.worker == other.worker:
                continue
            began_at = max(one.began_at, other.began_at)
            ended_at = min(one.ended_at, other.ended_at)
            if ended_at == NEVER:  # both to the end of the record
                ended_at = max(each.began_at for each in held)
            asleep = sum(
                (
                    _common(began_at, ended_at, freeze)
                    for freeze in freezes
                    if freeze.worker in {one.worker, other.worker}
                ),
                timedelta(),
            )
            longest = max(longest, (ended_at - began_at - asleep).total_seconds())
    return longest


def _common(began_at: datetime, ended_at: datetime, freeze: Death) -> timedelta:
    until = min(ended_at, freeze.ended_at or NEVER)
    return max(timedelta(), until - max(began_at, freeze.at))
