"""A clip on its way: the fragments, their window, and the manifest they will have."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

from archiver.windows import Window
from shared.identity import ClipIdentity
from shared.manifest import ArchivedFragment, Gap, Manifest
from shared.messages import Fragment
from shared.tracing import TraceContext

SOFTWARE: Final = f"cradle {version('cradle')}"
GAP_SECONDS: Final = 0.5
"""Less than this between two fragments is jitter of the camera's clock, not a gap."""

Container = Literal["mp4", "ts"]


@dataclass(frozen=True)
class Made:
    """A clip's bytes, made or found."""

    container: Container
    reason: str | None
    """Why the original bytes were kept; None for an MP4."""
    bytes: int
    sha256: str
    probed_frames: int | None


@dataclass(frozen=True)
class MadeFile:
    """A clip's bytes in the work folder."""

    path: Path
    made: Made


@dataclass(frozen=True)
class Clip:
    """An unbroken run of fragments of one epoch and window."""

    fragments: tuple[Fragment, ...]
    window: Window
    window_seconds: int
    gap_before: Gap | None = None
    trace: TraceContext | None = None
    """Of its span, if one of its fragments is traced and sampled."""

    @cached_property
    def identity(self) -> ClipIdentity:
        first, last = self.fragments[0], self.fragments[-1]
        return ClipIdentity(
            first.camera, first.epoch, first.fragment, last.fragment, first.captured_at
        )

    @property
    def frames(self) -> int:
        """Video frames, by the references."""
        return sum(each.frames for each in self.fragments)

    @property
    def ends_at(self) -> datetime:
        """End of the last frame, UTC."""
        return self.fragments[-1].ends_at

    def gaps(self) -> list[Gap]:
        """Times without footage before and inside the clip."""
        found = [] if self.gap_before is None else [self.gap_before]
        for before, after in pairwise(self.fragments):
            if (after.captured_at - before.ends_at).total_seconds() > GAP_SECONDS:
                found.append(
                    Gap(
                        starts_at=before.ends_at,
                        ends_at=after.captured_at,
                        reason="the source sent no frames",
                    )
                )
        return found

    def manifest(self, made: Made, poster_key: str | None, created_at: datetime) -> Manifest:
        """What commits this clip with these bytes."""
        identity = self.identity
        return Manifest(
            camera=identity.camera,
            epoch=identity.epoch,
            first=identity.first,
            last=identity.last,
            object_key=identity.object_key(made.container),
            poster_key=poster_key,
            container=made.container,
            reason=None if made.reason is None else made.reason[:300],
            bytes=made.bytes,
            sha256=made.sha256,
            frames=self.frames,
            probed_frames=made.probed_frames,
            starts_at=identity.captured_at,
            ends_at=self.ends_at,
            window_starts_at=self.window.starts_at,
            window_seconds=self.window_seconds,
            stream=self.fragments[0].stream,
            fragments=[ArchivedFragment.of(each) for each in self.fragments],
            gaps=self.gaps(),
            trace_id=None if self.trace is None else self.trace.trace_id,
            software=SOFTWARE,
            created_at=created_at,
        )
