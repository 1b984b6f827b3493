"""Makes H.264 and AAC of what cannot be carried: webcams, generated pictures, MJPEG, G.711 ...

Encoding costs what carrying does not (about 10 CPU-seconds a camera-minute at 720p30), so it
happens once, here, and the log says that it does. One key frame a second and no B-frames: the
archive cuts and live follows at key frames.
"""

from collections.abc import Iterator
from fractions import Fraction

import av

from ingest.feed import Arrival, arrival
from shared.messages import StreamParameters

TIME_BASE = Fraction(1, 90_000)
_AUDIO_RATE = 48_000
_AUDIO_BITRATE = 96_000


class _Discard:
    """Where a container that is only there for its streams writes to."""

    def write(self, data: bytes) -> int:
        return len(data)


def _scratch() -> av.container.OutputContainer:
    """A container that never writes: a stream needs one to be a template for muxers."""
    return av.open(_Discard(), "w", format="mpegts")


class VideoEncoder:
    """Pictures to H.264. Frames carry `pts` in 90 kHz ticks."""

    def __init__(self, width: int, height: int, frames_per_second: float) -> None:
        rate = Fraction(frames_per_second or 25).limit_denominator(1001)
        self._container = _scratch()
        stream = self._container.add_stream("libx264", rate=rate)
        stream.width, stream.height = width // 2 * 2, height // 2 * 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = TIME_BASE
        stream.codec_context.gop_size = max(round(rate), 1)
        stream.codec_context.max_b_frames = 0
        stream.codec_context.thread_count = 1
        stream.options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "crf": "23",
            "forced-idr": "1",
            "x264-params": "scenecut=0",
        }
        self._container.start_encoding()  # opens the encoder: now the template says all there is
        self.template = stream
        self.parameters = StreamParameters(
            video_codec="h264",
            width=stream.width,
            height=stream.height,
            frames_per_second=float(rate),
            audio_codec=None,
        )
        self._next_key_ticks: int | None = None
        self._half_frame_ticks = round(TIME_BASE.denominator / rate / 2)

    def encode(self, frame: av.VideoFrame | None) -> Iterator[Arrival]:
        """Packets of a frame, or what is left with None. One key frame a second of `pts`."""
        if frame is not None:
            frame.time_base = TIME_BASE
            frame.pict_type = av.video.frame.PictureType.NONE
            pts = frame.pts or 0
            due = self._next_key_ticks
            if due is None or pts + self._half_frame_ticks >= due:
                frame.pict_type = av.video.frame.PictureType.I
                late = due is None or pts > due + TIME_BASE.denominator
                self._next_key_ticks = (pts if late else due or 0) + TIME_BASE.denominator
        for packet in self.template.encode(frame):
            yield arrival(packet, is_video=True)

    def close(self) -> None:
        self._container.close()


class AudioEncoder:
    """Sound of any decodable kind to AAC."""

    def __init__(self, channels: int) -> None:
        self._container = _scratch()
        layout = "mono" if channels == 1 else "stereo"
        self.template = self._container.add_stream("aac", rate=_AUDIO_RATE, layout=layout)
        self.template.bit_rate = _AUDIO_BITRATE
        self._container.start_encoding()
        self._layout = layout
        self._resampler = self._new_resampler()
        self._fifo = av.AudioFifo()
        self._next_pts: int | None = None

    def encode(self, frame: av.AudioFrame, seconds: Fraction | None) -> Iterator[Arrival]:
        """Packets of a decoded frame that begins at `seconds` of the source's clock.

        Samples are counted from the first frame; over a gap of more than 0.2 s the count is set
        anew, so that sound that paused comes back where it belongs.
        """
        frame.pts = None
        for resampled in self._resample(frame):
            self._fifo.write(resampled)
        if seconds is not None:
            heard = round(seconds * _AUDIO_RATE)
            if self._next_pts is None or abs(heard - self._next_pts) > _AUDIO_RATE // 5:
                self._next_pts = heard
        if self._next_pts is None:
            self._next_pts = 0
        size = self.template.codec_context.frame_size or 1024
        while (chunk := self._fifo.read(size)) is not None:
            chunk.pts = self._next_pts
            chunk.time_base = Fraction(1, _AUDIO_RATE)
            self._next_pts += chunk.samples
            for packet in self.template.encode(chunk):
                yield arrival(packet, is_video=False)

    def _resample(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        try:
            return self._resampler.resample(frame)
        except ValueError:  # the source has changed its format, which a resampler does not take
            self._resampler = self._new_resampler()
            return self._resampler.resample(frame)

    def _new_resampler(self) -> av.AudioResampler:
        return av.AudioResampler(format="fltp", layout=self._layout, rate=_AUDIO_RATE)

    def close(self) -> None:
        self._container.close()
