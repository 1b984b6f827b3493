"""Reaches one camera: opens it as ingest would, and watches it for a few seconds.

Tells what comes (codec, size, rate, how far key frames lie apart, sound) and what becomes of it:
carried as it is, or decoded and encoded, which costs. `refusal.py` says why nothing comes.
"""

import threading
from dataclasses import asdict, dataclass
from typing import Any, Final

from deploy.command.finding import Check, Finding, State
from deploy.command.refusal import CONNECT_SECONDS, plain
from deploy.local.needs import require_file
from ingest.feed import Feed
from ingest.open import open_feed
from ingest.timeline import TICKS
from shared.clock import Clock
from shared.config import CameraSettings, LiveSettings
from shared.errors import SourceFailed, Unavailable
from shared.log import Log
from shared.messages import StreamParameters
from shared.source import SourceKind

WATCH_SECONDS: Final = 8.0
"""Long enough for the second key frame of a camera that sends one every few seconds."""
LONG_GOP_SECONDS: Final = 4.0
STALL_SECONDS: Final = 5.0


class _Notes(Log):
    """A log that keeps what a feed says about encoding, and drops the rest."""

    def __init__(self) -> None:
        self.video: str | None = None
        """Codec of the video that is decoded and encoded; None if it is carried."""
        self.sound: str | None = None

    def bind(self, **_facts: Any) -> Log:
        return self

    def debug(self, event: str, **facts: Any) -> None:
        pass

    def info(self, event: str, **facts: Any) -> None:
        if facts.get("action") == "feed.encodes":
            self.sound = str(facts.get("codec"))

    def warning(self, event: str, **facts: Any) -> None:
        """What costs is warned of, and only encoding video does."""
        if facts.get("action") == "feed.encodes":
            self.video = str(facts.get("codec", "raw"))

    def error(self, event: str, **facts: Any) -> None:
        pass


@dataclass(frozen=True)
class Seen:
    """What a source sends."""

    source: str
    kind: SourceKind
    video: str
    """Codec; what ingest makes of it is H.264 unless `carried`."""
    carried: bool
    width: int
    """Pixels, 0 if not announced; so the height."""
    height: int
    frames_per_second: float
    """0 if not announced."""
    key_frame_seconds: float | None
    """From one key frame to the next; None if there was no second one in time."""
    sound: str | None

    @property
    def is_made(self) -> bool:
        """Pictures that no camera has encoded."""
        return self.kind in {SourceKind.TEST, SourceKind.DEVICE}


def thing_of(camera: CameraSettings) -> str:
    """How the report names a camera."""
    return f"camera {camera.id}"


def camera_check(camera: CameraSettings, live: LiveSettings, clock: Clock) -> Check:
    """The check of one camera."""
    seconds = camera.open_timeout_seconds + WATCH_SECONDS + 2 * STALL_SECONDS + CONNECT_SECONDS
    return Check(thing_of(camera), seconds, lambda: check_camera(camera, live, clock))


def check_camera(camera: CameraSettings, live: LiveSettings, clock: Clock) -> Finding:
    """Open and watch it. Raises Misconfigured, Unavailable with a sentence in plain words."""
    seen = look(camera, clock)
    warnings = remarks(seen, live)
    fate = "carried as it is" if seen.carried else "encoded to H.264, which costs CPU time"
    return Finding(
        thing_of(camera),
        State.WARN if warnings else State.OK,
        "; ".join([in_words(seen), *(warnings or [fate])]),
        asdict(seen),
    )


def look(camera: CameraSettings, clock: Clock) -> Seen:
    """See what a camera sends. Raises Misconfigured, Unavailable."""
    camera.password()
    require_file(camera)
    patience = {"stall_seconds": min(camera.stall_seconds, STALL_SECONDS), "loop": False}
    notes, stop = _Notes(), threading.Event()
    began = clock.monotonic()
    try:
        feed = open_feed(camera.model_copy(update=patience), clock, stop, notes)
    except SourceFailed as error:
        raise plain(camera, str(error), clock.monotonic() - began) from None
    try:
        key_frames = _watch(feed, clock)
    except SourceFailed as error:
        raise Unavailable(f"{camera.address.shown} opened, then: {error}") from None
    finally:
        stop.set()
        feed.close()
    if not key_frames:
        raise Unavailable(f"{camera.address.shown} opened, but sent no key frame in time")
    return _seen(camera, feed.parameters, notes, key_frames)


def _watch(feed: Feed, clock: Clock) -> list[float]:
    """Times of the first key frames in seconds: two, or fewer if there are none in time."""
    found: list[float] = []
    until = clock.monotonic() + WATCH_SECONDS
    for arrival in feed.arrivals():
        if arrival is not None and arrival.is_video and arrival.packet.is_keyframe:
            at = arrival.pts if arrival.pts is not None else arrival.dts
            if at is not None:
                found.append(at / TICKS)
        if len(found) == 2 or clock.monotonic() > until:
            break
    return found


def _seen(
    camera: CameraSettings, stream: StreamParameters, notes: _Notes, key_frames: list[float]
) -> Seen:
    kind = camera.address.kind
    return Seen(
        source=camera.address.shown,
        kind=kind,
        video=notes.video or ("raw" if kind is SourceKind.TEST else stream.video_codec),
        carried=notes.video is None and kind is not SourceKind.TEST,
        width=stream.width,
        height=stream.height,
        frames_per_second=stream.frames_per_second,
        key_frame_seconds=round(key_frames[1] - key_frames[0], 3) if key_frames[1:] else None,
        sound=None if stream.audio_codec is None else notes.sound or stream.audio_codec,
    )


# -- in words -------------------------------------------------------------------------------------


def in_words(seen: Seen) -> str:
    """`h264 1280x720, 25 fps, a key frame every 2 s, sound aac`."""
    size = f"{seen.width}x{seen.height}" if seen.width else "(size not announced)"
    rate = seen.frames_per_second
    parts = [f"{seen.video} {size}", f"{rate:.4g} fps" if rate else "rate not announced"]
    if seen.carried and seen.key_frame_seconds is not None:
        parts.append(f"a key frame every {seen.key_frame_seconds:.2g} s")
    parts.append(f"sound {seen.sound}" if seen.sound else "no sound")
    return ", ".join(parts)


def remarks(seen: Seen, live: LiveSettings) -> list[str]:
    """What a person could change for the better."""
    if not seen.carried:
        words = (
            "is decoded and encoded to H.264, which costs CPU time; best set the camera to H.264"
        )
        return [] if seen.is_made else [words]
    found = []
    if seen.video == "hevc" and live.video != "copy":
        found.append(
            "stored as it is, but encoded to H.264 for live, which costs CPU time; best set the "
            "camera to H.264, or live.video to copy if all players take HEVC"
        )
    elif live.video == "h264":
        found.append("stored as it is, but live.video: h264 encodes it for live, which costs CPU")
    if seen.key_frame_seconds is None:
        found.append(f"no second key frame in up to {WATCH_SECONDS:.0f} s; set one every 1 to 2 s")
    elif seen.key_frame_seconds > LONG_GOP_SECONDS:
        found.append("live lags by as much as key frames lie apart; set one every 1 to 2 s")
    return found
