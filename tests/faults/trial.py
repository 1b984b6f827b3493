"""One run: strikes in the order that the seed gives, then the count.

Every kind of fault comes once, in a shuffled order, with random kills between, then again until
the time is over and enough has been killed. In the end everything is put right, ingest is stopped,
and the archiver has `SETTLE_SECONDS` to store what there is.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import quantiles

from shared.clipfolder import ClipFolder
from shared.custody import FragmentsLost, read_custody
from tests.faults.ledger import Clip, Ledger, Place, Verdict, judge, numbers_in
from tests.faults.scene import Blow, Death, Scene
from tests.faults.seats import (
    NEVER,
    TakeOver,
    Tenure,
    frozen_take_overs,
    longest_overlap_seconds,
    take_overs,
    tenures,
)
from tests.faults.strikes import ALL, KILLS, LONELY_KILLS, OTHERS
from tests.faults.watch import Memory, Watch, watching
from tests.line import manifests_in

KILLS_BETWEEN = 2
START_SECONDS = 60.0
SETTLE_SECONDS = 180.0
REST_SECONDS = (5.0, 8.0)
"""Between two strikes, so that each is seen alone."""
AFTERMATH_SECONDS = 20.0
BATCH_SECONDS = 0.5
"""For so long after a strike is over, or until the next, a stall of live is put down to it."""


@dataclass(frozen=True)
class Findings:
    """All that the page says."""

    seed: int
    seconds: float
    verdict: Verdict
    kills: dict[str, int]
    """Deaths of workers, by stage."""
    fallen: Sequence[str]
    """Workers that ended by themselves."""
    blows: Sequence[Blow]
    stalls: dict[str, float]
    """By kind of fault, the longest time without a new segment, of any camera (seconds)."""
    back: dict[str, float]
    """By kind of fault, the longest time from its end to a new segment, of any camera (seconds).
    The next strike may fall into it; it ends after `AFTERMATH_SECONDS` at the latest."""
    taken: Sequence[TakeOver]
    """After kills of one worker, with another of its stage alive and the broker there."""
    thawed: Sequence[TakeOver]
    """From workers that were frozen, by another."""
    overlap_seconds: float
    cut_off_seconds: Sequence[float]
    """What each death of an ingest worker cost beyond the last frame that is stored."""
    overwritten: set[str]
    live_faults: Sequence[str]
    memory: Sequence[Memory]
    missed: int
    """Fragments that the ledger could not read."""

    def take_over_p95(self) -> float:
        seconds = [each.seconds for each in self.taken]
        return (
            quantiles(seconds, n=20, method="inclusive")[-1]
            if len(seconds) > 1
            else max(seconds, default=0.0)
        )

    def take_over_worst(self) -> float:
        return max((each.seconds for each in self.taken), default=0.0)


def program(seed: int, names: Sequence[str] | None = None) -> Iterator[str]:
    """Which faults, in which order: for ever, unless they are given by name."""
    if names is not None:
        yield from names
        return
    order = random.Random(seed)
    while True:
        kinds = list(OTHERS)
        order.shuffle(kinds)
        for kind in kinds:
            yield kind
            yield from order.choices(list(KILLS), k=KILLS_BETWEEN)


def run(
    scene: Scene,
    seed: int,
    *,
    seconds: float,
    least_kills: int = 0,
    rest_seconds: tuple[float, float] = REST_SECONDS,
    names: Sequence[str] | None = None,
    say: Callable[[str], None] = print,
) -> Findings:
    """Strike for so long, and until so much is killed; or, with `names`, just these once."""
    began = time.monotonic()
    ledger = Ledger(scene.line.frame_store, scene.cameras)
    scene.start()
    ledger.start()
    with watching(scene) as watch:
        if not scene.until(lambda: all_live(scene), START_SECONDS):
            raise AssertionError("live did not begin")
        say("all cameras are live")
        for kind in program(seed, names):
            is_over = (
                time.monotonic() - began > seconds
                and len(scene.deaths) >= least_kills
                and {blow.kind for blow in scene.blows} >= OTHERS.keys()
            )
            if names is None and is_over:
                break
            _strike(scene, kind, say)
            scene.pause(scene.random.uniform(*rest_seconds))
        scene.pause(AFTERMATH_SECONDS)
        say("stopping ingest, and waiting until all is stored")
        scene.stop_ingest()
        ledger.finish()
        scene.until(lambda: not _unstored(scene, ledger), SETTLE_SECONDS)
    say("looking at every frame")
    verdict = judge(ledger.stored, list(clips_of(scene)), scene.deleted, _told(scene))
    return _findings(scene, seed, time.monotonic() - began, ledger, watch, verdict)


def _strike(scene: Scene, kind: str, say: Callable[[str], None]) -> None:
    blow = Blow(kind, datetime.now(UTC))
    scene.blows.append(blow)
    blow.detail = ALL[kind](scene)
    blow.ended_at = datetime.now(UTC)
    say(f"{blow.began_at:%H:%M:%S}  {kind}: {blow.detail}")


def all_live(scene: Scene) -> bool:
    return all(scene.line.media_sequence(camera) > 2 for camera in scene.cameras)


def _unstored(scene: Scene, ledger: Ledger) -> bool:
    left = ledger.stored.keys() - committed(scene) - scene.deleted
    return bool(left) and bool(left - _told(scene))


def committed(scene: Scene) -> set[Place]:
    """All fragments that are in a clip, as the names in the bucket say."""
    return {
        (camera, clip.identity.epoch, number)
        for camera in scene.cameras
        for clip in ClipFolder(scene.bucket, camera).everything().clips
        for number in range(clip.identity.first, clip.identity.last + 1)
    }


def clips_of(scene: Scene) -> Iterator[Clip]:
    for camera in scene.cameras:
        for each in manifests_in(scene.bucket, camera):
            numbers = numbers_in(scene.line.clip(each))
            yield Clip(each.object_key, camera, each.epoch, each.first, each.last, numbers)


def _told(scene: Scene) -> set[Place]:
    """Fragments that the custody record calls lost."""
    records = [
        read_custody(scene.bucket.read(each.key) or b"") for each in scene.bucket.list("custody/")
    ]
    return {
        (each.camera, each.epoch, number)
        for each in records
        if isinstance(each, FragmentsLost)
        for number in range(each.first, each.last + 1)
    }


def _findings(
    scene: Scene, seed: int, seconds: float, ledger: Ledger, watch: Watch, verdict: Verdict
) -> Findings:
    held = tenures(scene.folder, scene.deaths)
    kills: dict[str, int] = {}
    for death in scene.deaths:
        stage = death.worker.partition("-")[0]
        kills[stage] = kills.get(stage, 0) + 1
    stalls: dict[str, float] = {}
    back: dict[str, float] = {}
    ends = [*(blow.began_at for blow in scene.blows[1:]), NEVER]
    for blow, next_at in zip(scene.blows, ends, strict=True):
        ended_at = blow.ended_at or blow.began_at
        aftermath = ended_at + timedelta(seconds=AFTERMATH_SECONDS)
        until = min(next_at, aftermath)
        stalls[blow.kind] = max(
            watch.longest_stall(blow.began_at, until), stalls.get(blow.kind, 0.0)
        )
        back[blow.kind] = max(watch.first_advance(ended_at, aftermath), back.get(blow.kind, 0.0))
    alone = [
        death
        for death in scene.deaths
        if any(
            blow.kind in LONELY_KILLS and blow.began_at <= death.at <= (blow.ended_at or NEVER)
            for blow in scene.blows
        )
    ]
    return Findings(
        seed,
        seconds,
        verdict,
        kills,
        scene.fallen,
        scene.blows,
        stalls,
        back,
        take_overs(held, alone),
        frozen_take_overs(held, scene.freezes),
        longest_overlap_seconds(held, scene.freezes),
        _cut_off(held, scene.deaths, ledger),
        watch.overwritten,
        watch.faults,
        watch.memory,
        len(ledger.missed.keys() - scene.deleted),
    )


def _cut_off(held: Sequence[Tenure], deaths: Sequence[Death], ledger: Ledger) -> list[float]:
    """From the last frame that is stored of an epoch to the death that interrupted it (seconds)."""
    died = {(death.worker, death.at) for death in deaths}
    costs = []
    for tenure in held:
        if tenure.stage != "ingest" or (tenure.worker, tenure.ended_at) not in died:
            continue
        cut = [
            ended_at
            for (camera, epoch), ended_at in ledger.ends_at.items()
            if camera == tenure.camera
            and (camera, epoch) in ledger.interrupted
            and tenure.began_at <= ended_at <= tenure.ended_at + timedelta(seconds=1)
        ]
        if cut:
            costs.append(max(0.0, (tenure.ended_at - max(cut)).total_seconds()))
            if costs[-1] > BATCH_SECONDS:  # which one, for whoever looks into the logs
                print(f"dear: {tenure}, stored until {max(cut)}", flush=True)
    return costs
