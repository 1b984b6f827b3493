"""A feed from libavformat: RTSP cameras, streams pulled from servers, and files.

H.264, HEVC and AAC are carried as they are; any other video is decoded and encoded to H.264, any
other sound to AAC. Files and pulled streams are played at their own pace, since they can arrive
faster than they happened; a looped file goes on counting time where its last turn ended. Opening
and every read have a time-out, so a camera that goes silent without closing is noticed.
"""

import threading
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.error import FFmpegError

from ingest.breath import Breath
from ingest.encoding import AudioEncoder, VideoEncoder
from ingest.feed import Arrival, MediaPacket, Scale, arrival, scale_of
from ingest.interrupt import Interrupt
from ingest.parameters import ParameterSets, brings_other_record
from ingest.timeline import TICKS
from shared.clock import Clock
from shared.config import CameraSettings
from shared.errors import SourceFailed
from shared.log import Log, redact
from shared.messages import StreamParameters
from shared.source import SourceKind

CARRIED_VIDEO = {"h264", "hevc"}
PROBE_SECONDS = 3
RATE_PROBE_FRAMES = 8
"""So many frames tell the rate of a live source. libavformat takes 20, for which live waits: 1.9 s
from the first packet at 15 frames a second, 1.1 s with 8 (2026-11-25)."""
UNTIMED_LIMIT = 8
"""Packets without a time that are kept at the start of a connection."""
LONGEST_WAIT_SECONDS = 10.0
CAUGHT_UP_SECONDS = 0.002
"""A read that had to wait this long has found nothing left."""
HIGHEST_RATE = 240
"""Frames per second; what says more (a container's time base, mostly) does not know."""


class DemuxedFeed:
    """One open container, or one after the other for a looped file."""

    def __init__(
        self, camera: CameraSettings, clock: Clock, stop: threading.Event, log: Log
    ) -> None:
        """Opens the source. Raises SourceFailed, Misconfigured if its password is missing."""
        self._camera = camera
        self._clock = clock
        self._stop = stop
        self._log = log
        self._url = camera.address.with_credentials(camera.username, camera.password())
        self._paced = camera.address.kind in {SourceKind.FILE, SourceKind.STREAM}
        self._breath: Breath | None = None
        self._shift_ticks = 0
        self._seen_time = False
        self._untimed: list[Arrival] = []
        self._video_encoder: VideoEncoder | None = None
        self._audio_encoder: AudioEncoder | None = None
        self.parameters = self._open()

    # -- opening ------------------------------------------------------------------------------

    def _open(self) -> StreamParameters:
        camera = self._camera
        options = {"analyzeduration": str(PROBE_SECONDS * 1_000_000)}
        silence = str(round(camera.stall_seconds * 1_000_000))
        if camera.address.kind is not SourceKind.FILE:
            options["fpsprobesize"] = str(RATE_PROBE_FRAMES)
        if camera.address.kind is SourceKind.RTSP:
            options |= {"rtsp_transport": camera.transport, "timeout": silence}
        elif camera.address.kind is SourceKind.STREAM:
            options["rw_timeout"] = silence
        began = self._clock.monotonic()
        is_file = camera.address.kind is SourceKind.FILE
        opened_after = self._clock.monotonic()
        try:
            self._container = av.open(
                str(camera.address.path) if is_file else self._url,
                options=options,
                timeout=(camera.open_timeout_seconds, None),  # reads: see ingest/interrupt.py
                metadata_errors="replace",  # titles in EUC-KR are no reason to see nothing
            )
        except (FFmpegError, OSError, ValueError) as error:
            reason = _reason(error, camera)
            if self._clock.monotonic() - began >= camera.open_timeout_seconds:
                reason = f"no answer in {camera.open_timeout_seconds:g} s"
            raise SourceFailed(f"cannot be opened: {reason}") from None
        self._interrupt = Interrupt(
            self._container, opened_after, self._clock, camera.stall_seconds, self._log
        )
        try:
            self._choose_streams()
            if camera.address.kind is SourceKind.RTSP and camera.transport == "tcp":
                self._breath = Breath(self._rate())  # RTP counts H.264 and HEVC in 90 kHz ticks
            return self._describe()
        except (FFmpegError, ValueError) as error:
            self._container.close()
            raise SourceFailed(f"cannot be used: {_reason(error, camera)}") from None
        except BaseException:
            self._container.close()
            raise

    def _choose_streams(self) -> None:
        name = self._container.format.name
        if name == "tty" or name.endswith("_pipe"):  # libavformat makes films of texts and pictures
            raise SourceFailed(f"it is not a video but {name.removesuffix('_pipe')}")
        video = [each for each in self._container.streams.video if _moves(each)]
        if not video:
            raise SourceFailed("there is no video in it that can be read")
        self._video = video[0]
        sound = [each for each in self._container.streams.audio if each.codec_context is not None]
        self._audio = sound[0] if sound and self._camera.audio else None
        codec = self._video.codec_context
        self._carry_video = codec.name in CARRIED_VIDEO
        self._parameter_sets = ParameterSets(
            codec.extradata or b"" if codec.name == "h264" else b""
        )
        self._record = codec.extradata or b""
        self._carry_audio = self._audio is not None and self._audio.codec_context.name == "aac"
        self._video_scale = _scale(self._video)
        self._audio_scale = None if self._audio is None else _scale(self._audio)
        if not self._carry_video and self._video_encoder is None:
            self._log.warning(
                "video cannot be carried and is encoded to H.264; this costs CPU time",
                action="feed.encodes",
                codec=self._video.codec_context.name,
            )
            self._video_encoder = VideoEncoder(self._video.width, self._video.height, self._rate())
        if self._audio is not None and not self._carry_audio and self._audio_encoder is None:
            self._log.info(
                "sound is encoded to AAC",
                action="feed.encodes",
                codec=self._audio.codec_context.name,
            )
            self._audio_encoder = AudioEncoder(self._audio.codec_context.channels)

    def _rate(self) -> float:
        rate = float(self._video.average_rate or self._video.base_rate or 0)
        return rate if 0 < rate <= HIGHEST_RATE else 0.0

    def _describe(self) -> StreamParameters:
        sound = "aac" if self._audio is not None else None
        if self._video_encoder is not None:
            return self._video_encoder.parameters.model_copy(update={"audio_codec": sound})
        return StreamParameters.model_validate(
            {
                "video_codec": self._video.codec_context.name,
                "width": self._video.width,
                "height": self._video.height,
                "frames_per_second": self._rate(),
                "audio_codec": sound,
            }
        )

    @property
    def video_template(self) -> av.VideoStream:
        return self._video if self._video_encoder is None else self._video_encoder.template

    @property
    def audio_template(self) -> av.AudioStream | None:
        return self._audio if self._audio_encoder is None else self._audio_encoder.template

    # -- reading ------------------------------------------------------------------------------

    def arrivals(self) -> Iterator[Arrival | None]:
        """Packets until a file ends, a looped one never. Raises SourceFailed."""
        pace = Pace(self._clock, self._stop) if self._paced else None
        while not self._stop.is_set():
            ends_at: int | None = None
            try:
                for each in self._read():
                    if each is not None and each.is_video:
                        if pace is not None and each.dts is not None:
                            pace.wait_for(each.dts)
                        shown_at = each.dts if each.pts is None else each.pts
                        if shown_at is not None and (ends_at is None or shown_at > ends_at):
                            ends_at = shown_at
                    if self._stop.is_set():
                        return
                    yield each
            except av.error.ExitError:  # the read time-out
                raise SourceFailed(self._silence) from None
            except FFmpegError as error:
                raise SourceFailed(f"broke off: {_reason(error, self._camera)}") from None
            if self._camera.address.kind is not SourceKind.FILE:
                raise SourceFailed("the server ended the stream")
            if ends_at is None:
                raise SourceFailed("not one frame could be read from it")
            if not self._camera.loop:
                return
            self._begin_again(ends_at)

    def _begin_again(self, last_shown_ticks: int) -> None:
        """Open the file once more; its first frame follows the one that was shown last."""
        self._container.close()
        if self._open() != self.parameters:
            raise SourceFailed("it is another video now")
        frame_ticks = round(TICKS / (self._rate() or 25))
        self._shift_ticks = last_shown_ticks + frame_ticks - self._first_ticks()

    def _first_ticks(self) -> int:
        start, base = self._video.start_time, self._video.time_base
        return 0 if start is None or base is None else int(start * base * TICKS)

    def _read(self) -> Iterator[Arrival | None]:
        chosen = [self._video] if self._audio is None else [self._video, self._audio]
        packets = self._container.demux(*chosen)
        while True:
            asked_at = self._interrupt.begin()
            try:
                packet = next(packets, None)
            finally:
                self._interrupt.end()
            if packet is None:
                return
            now = self._clock.monotonic()
            is_video = packet.stream_index == self._video.index
            if is_video and self._breath is not None:
                self._breath.took(packet.pts, packet.is_keyframe, now)
            if self._carry_video if is_video else self._carry_audio:
                yield from self._carried(packet, is_video)
            else:
                yield None  # encoding may give nothing for long; who judges stalls must hear of it
                yield from self._encode_video(packet) if is_video else self._encode_audio(packet)
            if now - asked_at >= self._camera.stall_seconds:  # libav let go of its last packet
                raise SourceFailed(self._silence)
            if self._breath is not None and now - asked_at > CAUGHT_UP_SECONDS:
                self._stop.wait(self._breath.pause_seconds(self._clock.monotonic()))

    def _carried(self, packet: MediaPacket, is_video: bool) -> Iterable[Arrival]:
        if not packet.size:  # at the end comes an empty one, for decoders
            return ()
        scale = self._video_scale if is_video else self._audio_scale
        each = arrival(packet, is_video, scale, self._shift_ticks)
        if not is_video:
            return (each,)
        if brings_other_record(packet, self._record):
            raise SourceFailed("the stream's parameters changed")
        if packet.is_keyframe:
            each = self._completed(each)
        return (each,) if self._seen_time else self._timed(each)

    def _timed(self, each: Arrival) -> Iterator[Arrival]:
        """Keep a first video packet without a time until the second says when it was.

        libavformat gives the first access unit of an RTSP camera none; without it a camera would
        lose the distance of two key frames at every connect.
        """
        time = each.pts if each.dts is None else each.dts
        if time is None and not self._seen_time and len(self._untimed) < UNTIMED_LIMIT:
            self._untimed.append(each)
            return
        waiting, self._untimed = self._untimed, []
        if time is not None:
            self._seen_time = True
            frame_ticks = round(TICKS / (self._rate() or 25))
            for back, held in zip(range(len(waiting), 0, -1), waiting, strict=True):
                yield _at(held, time - back * frame_ticks)
        yield each

    @property
    def _silence(self) -> str:
        return f"nothing came for {self._camera.stall_seconds:g} s"

    def _completed(self, each: Arrival) -> Arrival:
        """The key frame, as it can be decoded alone."""
        data = self._parameter_sets.complete(each.packet)
        if data is None:
            return each
        packet: MediaPacket = av.Packet(data)
        packet.is_keyframe = True
        return each._replace(packet=packet)

    def _encode_video(self, packet: MediaPacket) -> Iterator[Arrival]:
        encoder = self._video_encoder
        for frame in self._decoded(packet):
            if encoder is None or not isinstance(frame, av.VideoFrame) or frame.time is None:
                continue
            frame.pts = round(frame.time * TICKS) + self._shift_ticks
            yield from encoder.encode(frame)

    def _encode_audio(self, packet: MediaPacket) -> Iterator[Arrival]:
        encoder = self._audio_encoder
        for frame in self._decoded(packet):
            if encoder is None or not isinstance(frame, av.AudioFrame):
                continue
            at = (
                None
                if frame.time is None
                else Fraction(frame.time) + Fraction(self._shift_ticks, TICKS)
            )
            yield from encoder.encode(frame, at)

    def _decoded(self, packet: MediaPacket) -> list[object]:
        try:
            return list(packet.decode())
        except FFmpegError as error:
            self._log.warning(
                "a packet cannot be decoded", action="feed.undecodable", reason=str(error)
            )
            return []

    def close(self) -> None:
        self._container.close()
        for encoder in (self._video_encoder, self._audio_encoder):
            if encoder is not None:
                encoder.close()


def _scale(stream: av.VideoStream | av.AudioStream) -> Scale | None:
    return None if stream.time_base is None else scale_of(stream.time_base)


def _at(each: Arrival, ticks: int) -> Arrival:
    return each._replace(pts=ticks, dts=ticks)


def _moves(video: av.VideoStream) -> bool:
    """It can be decoded and is no cover picture of a song."""
    is_picture = video.disposition & av.stream.Disposition.attached_pic
    return video.codec_context is not None and not is_picture


class Pace:
    """Lets media through no faster than it happened."""

    def __init__(self, clock: Clock, stop: threading.Event) -> None:
        self._clock = clock
        self._stop = stop
        self._origin_seconds: float | None = None

    def wait_for(self, ticks: int) -> None:
        """Wait until the moment of `ticks` has come; a jump ahead is not waited for."""
        seconds = ticks / TICKS
        now = self._clock.monotonic()
        if self._origin_seconds is None or not (
            -LONGEST_WAIT_SECONDS < self._origin_seconds + seconds - now < LONGEST_WAIT_SECONDS
        ):
            self._origin_seconds = now - seconds
        ahead = self._origin_seconds + seconds - now
        if ahead > 0:
            self._stop.wait(ahead)


def _reason(error: Exception, camera: CameraSettings) -> str:
    """libav's words without the address, which it likes to append together with the password."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return redact(str(text).replace(camera.source.get_secret_value(), camera.address.shown))
