"""The story of a camera, as ingest and the archiver would have left it in the bucket."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import groupby, pairwise

from archiver.clip import Clip, Made
from archiver.windows import runs, window_of
from shared.clock import milliseconds
from shared.coverage.day import Evidence
from shared.coverage.epochs import Unreadable
from shared.coverage.footage import stretches_of
from shared.custody import CustodyRecord, EpochBegun, EpochEnded, FragmentsLost
from shared.identity import epoch_started_at, fragment_path, new_epoch
from shared.manifest import Gap, Manifest
from shared.messages import Fragment, Stage, StreamParameters

STREAM = StreamParameters(
    video_codec="h264", width=320, height=180, frames_per_second=25, audio_codec=None
)


class Story:
    """What happened to one camera, told in the order of time."""

    def __init__(
        self,
        camera: str = "camera-1",
        clip_seconds: int = 600,
        frames_per_second: float = 25,
        object_bytes: int = 10,
    ) -> None:
        self.camera = camera
        self.clip_seconds = clip_seconds
        self.object_bytes = object_bytes
        self.stream = STREAM.model_copy(update={"frames_per_second": frames_per_second})
        self.manifests: list[Manifest] = []
        self.records: list[CustodyRecord] = []
        self.unreadable: list[Unreadable] = []

    def fragments(
        self, starts: datetime, lengths: Iterable[float], every: float | None = None
    ) -> list[Fragment]:
        """An epoch from `starts` on; `every` seconds a fragment, else one right after another."""
        epoch, at = new_epoch(starts), starts
        made = []
        for number, seconds in enumerate(lengths):
            made.append(
                Fragment(
                    camera=self.camera,
                    epoch=epoch,
                    fragment=number,
                    path=fragment_path(self.camera, epoch, number),
                    bytes=188,
                    frames=max(1, round(seconds * 25)),
                    captured_at=at,
                    duration_seconds=seconds,
                    key_frame_bytes=188,
                    stream=self.stream,
                )
            )
            at += timedelta(seconds=seconds if every is None else every)
        return made

    def store(self, fragments: Iterable[Fragment]) -> None:
        """Commit clips of them, one a window and run."""
        for run in runs(fragments):
            for window, members in groupby(run, lambda each: window_of(each, self.clip_seconds)):
                clip = Clip(tuple(members), window, self.clip_seconds)
                made = Made("mp4", None, self.object_bytes, "0" * 64, None)
                self.manifests.append(clip.manifest(made, None, clip.ends_at))

    def begin(self, fragments: list[Fragment]) -> None:
        """Record that their epoch began."""
        first = fragments[0]
        self.records.append(EpochBegun(camera=self.camera, epoch=first.epoch, stream=first.stream))

    def end(self, fragments: list[Fragment], reason: str) -> None:
        """Record that their epoch ended behind them."""
        last = fragments[-1]
        self.records.append(
            EpochEnded(
                camera=self.camera,
                epoch=last.epoch,
                fragments=last.fragment + 1,
                ended_at=last.ends_at,
                reason=reason,
            )
        )

    def lose(self, fragments: Iterable[Fragment], reason: str = "quota") -> None:
        """Record their loss."""
        for run in runs(fragments):
            self.records.append(
                FragmentsLost(
                    camera=self.camera,
                    epoch=run[0].epoch,
                    first=run[0].fragment,
                    last=run[-1].fragment,
                    starts_at=run[0].captured_at,
                    ends_at=run[-1].ends_at,
                    by=Stage.INGEST,
                    reason=reason,
                )
            )

    def record(
        self,
        starts: datetime,
        seconds: int,
        reason: str | None,
        keep: Callable[[Fragment], bool] = lambda _: True,
    ) -> list[Fragment]:
        """An epoch of fragments of a second each, stored where `keep` says so.

        With `reason` None its end is not recorded.
        """
        made = self.fragments(starts, [1.0] * seconds)
        self.begin(made)
        self.store(each for each in made if keep(each))
        if reason is not None:
            self.end(made, reason)
        return made

    def evidence(self) -> Evidence:
        """All of it, as the bucket would give it."""
        gaps: list[Gap] = [gap for manifest in self.manifests for gap in manifest.gaps]
        began = [epoch_started_at(each.epoch) for each in self.manifests]
        began += [
            epoch_started_at(each.epoch) for each in self.records if isinstance(each, EpochBegun)
        ]
        return Evidence(
            camera=self.camera,
            stretches=tuple(each for one in self.manifests for each in stretches_of(one)),
            records=tuple(self.records),
            gaps=tuple(gaps),
            unreadable=tuple(self.unreadable),
            recording_since=milliseconds(min(began)) if began else None,
        )


def is_apart(spans: Iterable[tuple[int, int]]) -> bool:
    """Sorted, none empty, none touching another's inside."""
    found = list(spans)
    return all(starts < ends for starts, ends in found) and all(
        before[1] <= after[0] for before, after in pairwise(found)
    )
