"""The old way, for one camera: decode every picture, encode it three times.

    python -m tests.bench.old_way --footage FILE --folder EMPTY_FOLDER

OpenCV decodes; each picture goes raw through a pipe to an ffmpeg that encodes it with x264 for HLS,
and into an AVI (MPEG-4 part 2, as OpenCV writes it), which a second ffmpeg converts to MP4 when it
is done. Sound is lost, since OpenCV has none. It goes as fast as it can: only its CPU time is
compared.
"""

import argparse
import subprocess
from pathlib import Path
from typing import Final

import cv2

from shared.child import find_program
from tests.bench.footage import FRAMES_PER_SECOND, HEIGHT, WIDTH

PRESET: Final = "veryfast"


def hls_command() -> list[str]:
    """Raw pictures on standard input to HLS."""
    return [
        *(find_program("ffmpeg"), "-hide_banner", "-nostats", "-v", "error"),
        *("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}"),
        *("-r", str(FRAMES_PER_SECOND), "-i", "-"),
        *("-c:v", "libx264", "-preset", PRESET, "-pix_fmt", "yuv420p"),
        *("-g", str(FRAMES_PER_SECOND), "-f", "hls", "-hls_time", "1", "index.m3u8"),
    ]


def convert_command() -> list[str]:
    """The AVI to an MP4."""
    return [
        *(find_program("ffmpeg"), "-hide_banner", "-nostats", "-v", "error", "-i", "clip.avi"),
        *("-c:v", "libx264", "-preset", PRESET, "-pix_fmt", "yuv420p", "clip.mp4"),
    ]


def run(footage: Path, folder: Path) -> int:
    """Do it all; returns how many pictures there were. Raises CalledProcessError."""
    capture = cv2.VideoCapture(str(footage))
    fourcc = cv2.VideoWriter.fourcc(*"XVID")
    size = (WIDTH, HEIGHT)
    writer = cv2.VideoWriter(str(folder / "clip.avi"), fourcc, FRAMES_PER_SECOND, size)
    if not capture.isOpened() or not writer.isOpened():
        raise RuntimeError("OpenCV can open neither the footage nor an AVI to write")
    pictures = 0
    with subprocess.Popen(hls_command(), stdin=subprocess.PIPE, cwd=folder) as hls:
        assert hls.stdin is not None
        while True:
            found, picture = capture.read()
            if not found:
                break
            hls.stdin.write(picture.data)
            writer.write(picture)
            pictures += 1
    capture.release()
    writer.release()
    if hls.returncode:
        raise subprocess.CalledProcessError(hls.returncode, hls_command())
    subprocess.run(convert_command(), cwd=folder, check=True, stdin=subprocess.DEVNULL)
    return pictures


def main() -> None:
    """Run, and say how many pictures there were."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--footage", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    print(run(arguments.footage, arguments.folder))


if __name__ == "__main__":
    main()
