"""Small videos for tests, with a frame number that a machine can read from the picture.

Across the top of each picture lie two rows of 20 cells: the bits of the frame number, black or
white, highest first, and below them their complements. A bit is read by comparing its cell with
the one below, so that it survives hard compression, scaling and any brightness; cells that do not
differ enough are an error and no number. Below moves a pattern, so that there is something to
compress. The sound is a tone that rises by a semitone each second.
"""

import itertools
import subprocess
from pathlib import Path
from typing import IO, Any, Final, Literal

import av
import numpy as np
from numpy.typing import NDArray

from shared.child import find_program

Picture = NDArray[np.uint8]
Codec = Literal["h264", "hevc", "mpeg4", "mjpeg"]

BITS: Final = 20
_LEAST_CONTRAST: Final = 60
_TONE: Final = "0.3*sin(2*PI*220*pow(2\\,mod(floor(t)\\,24)/12)*t)"


def draw(number: int, width: int, height: int) -> Picture:
    """The luminance of one frame: height x width, uint8."""
    picture = np.empty((height, width), np.uint8)
    columns = (np.arange(width) * 2 + number * 4) % 256
    picture[:] = np.abs(columns - 128).astype(np.uint8) + 64
    box = height // 4
    left = number * 5 % max(1, width - box)
    picture[height // 2 : height // 2 + box, left : left + box] = number * 3 % 256
    bits = (number >> np.arange(BITS - 1, -1, -1)) & 1
    cells = np.repeat(bits * 255, _edges(width)[1:] - _edges(width)[:-1])
    row = _row_height(height)
    picture[:row] = cells
    picture[row : 2 * row] = 255 - cells
    return picture


def read_counter(picture: Picture) -> int:
    """The frame number in a picture: height x width (luminance) or height x width x 3, uint8.

    Raises ValueError if there is none that can be read with certainty.
    """
    grey = picture if picture.ndim == 2 else picture.mean(axis=2)
    height, width = grey.shape
    row = _row_height(height)
    edges = _edges(width)
    number = 0
    for left, right in itertools.pairwise(edges):
        margin = (right - left) // 4
        columns = slice(left + margin, right - margin)
        inner = slice(row // 4, row - row // 4)
        bit = float(grey[:row][inner, columns].mean())
        complement = float(grey[row : 2 * row][inner, columns].mean())
        if abs(bit - complement) < _LEAST_CONTRAST:
            raise ValueError(f"no counter: a cell of {bit:.0f} above one of {complement:.0f}")
        number = number * 2 + (bit > complement)
    return number


def decode_counters(path: str | Path) -> list[int]:
    """The frame numbers of all pictures of a video, in the order in which they are shown."""
    with av.open(str(path)) as container:
        return [
            read_counter(frame.to_ndarray(format="gray").astype(np.uint8, copy=False))
            for frame in container.decode(video=0)
        ]


def make_video(
    path: Path,
    *,
    size: tuple[int, int] = (320, 180),
    frames_per_second: int = 30,
    seconds: float = 4,
    codec: Codec = "h264",
    gop_seconds: float = 1,
    audio: Literal["aac", "pcm_mulaw"] | None = "aac",
    bframes: int = 0,
    bitrate: str = "1M",
    first: int = 0,
) -> Path:
    """Make a video whose frames count from `first`; the container follows from the suffix."""
    width, height = size
    frames = round(seconds * frames_per_second)
    gop = max(1, round(gop_seconds * frames_per_second))
    command = [
        *(find_program("ffmpeg"), "-v", "error", "-y"),
        *("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}"),
        *("-r", str(frames_per_second), "-i", "-"),
        *(_sound(audio, frames / frames_per_second) if audio else ()),
        *("-b:v", bitrate, "-g", str(gop), "-bf", str(bframes), *_CODECS[codec](gop, bframes)),
        str(path),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stderr is not None
    _feed(process.stdin, range(first, first + frames), width, height)
    said = process.stderr.read().decode(errors="replace")
    process.stderr.close()
    assert process.wait(60) == 0, f"ffmpeg: {said}"
    return path


class Videos:
    """Videos made once for a test session; called like `make_video`, with a suffix for a path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Path] = {}

    def __call__(self, suffix: str = ".mp4", **recipe: Any) -> Path:
        """The video of this recipe; not to be changed by a test."""
        name = repr((suffix, sorted(recipe.items())))
        if name not in self._made:
            path = self._folder / f"video-{len(self._made)}{suffix}"
            self._made[name] = make_video(path, **recipe)
        return self._made[name]


def _feed(pipe: IO[bytes], numbers: range, width: int, height: int) -> None:
    try:
        for number in numbers:
            pipe.write(draw(number, width, height).tobytes())
        pipe.close()
    except BrokenPipeError:
        pass  # ffmpeg has ended and says why


def _sound(audio: str, seconds: float) -> list[str]:
    rate = 8000 if audio == "pcm_mulaw" else 48000
    tone = f"aevalsrc={_TONE}:s={rate}:d={seconds}"
    return ["-f", "lavfi", "-i", tone, "-c:a", audio, "-b:a", "64k"]


def _h264(gop: int, _bframes: int) -> list[str]:
    return [
        *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
        *("-keyint_min", str(gop), "-sc_threshold", "0"),
    ]


def _hevc(gop: int, bframes: int) -> list[str]:
    fixed = f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:bframes={bframes}"
    return [
        *("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
        *("-x265-params", f"{fixed}:log-level=error", "-tag:v", "hvc1"),
    ]


def _mpeg4(_gop: int, _bframes: int) -> list[str]:
    return ["-c:v", "mpeg4", "-pix_fmt", "yuv420p", "-sc_threshold", "1000000000"]


def _mjpeg(_gop: int, _bframes: int) -> list[str]:
    # RTP carries no Huffman tables: the standard ones are understood (RFC 2435), as cameras use.
    return ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-huffman", "default"]


_CODECS: Final = {"h264": _h264, "hevc": _hevc, "mpeg4": _mpeg4, "mjpeg": _mjpeg}


def _edges(width: int) -> NDArray[np.int64]:
    """Left edges of the cells, and the right edge of the last."""
    return np.linspace(0, width, BITS + 1).astype(np.int64)


def _row_height(height: int) -> int:
    return max(8, height // 16)
