"""`python -m tests.bench.picture_memory`: memory and CPU time of judging pictures, both ways.

Each of two processes decodes, compares and packs the same pictures in two slots, as the analyzer
does, one with `analyzer.memory` and one without; then both say what they hold and what they took.
"""

import json
import resource
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from analyzer.measurement import measure
from analyzer.memory import give_pictures_back
from analyzer.pictures import decode_key_frame, masked

SAMPLES = 200
PICTURES = 4
LONG_EDGE_PIXELS = 768


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    resident_bytes: int
    cpu_seconds: float


def key_frames(size: str = "1280x720", count: int = 8) -> list[bytes]:
    """Different pictures, each an MPEG-TS of one key frame."""
    made: list[bytes] = []
    for number in range(count):
        source = f"testsrc2=s={size},hue=h={number * 40}"
        command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-frames:v", "1"]
        command += ["-c:v", "libx264", "-f", "mpegts", "-"]
        made.append(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    return made


def cost(*, giving_back: bool, samples: int = SAMPLES) -> Cost:
    """Measured in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.picture_memory", str(samples), str(giving_back)]
    told = subprocess.run(command, capture_output=True, check=True, timeout=300).stdout
    return Cost(**json.loads(told))


def _judge(frames: list[bytes], samples: int) -> None:
    previous = None
    for sample in range(samples):
        pictures = [
            masked(decode_key_frame(data, LONG_EDGE_PIXELS), [], datetime.now(UTC))
            for data in (frames[(sample + each) % len(frames)] for each in range(PICTURES))
        ]
        measured = measure(pictures, previous)
        previous = pictures[-1].sketch
        assert pictures[measured.most_changed].jpeg


def _measure_here(samples: int, *, giving_back: bool) -> Cost:
    if giving_back and not give_pictures_back():
        raise SystemExit("no glibc here")
    frames = key_frames()
    slots = [threading.Thread(target=_judge, args=(frames, samples)) for _ in range(2)]
    for slot in slots:
        slot.start()
    for slot in slots:
        slot.join()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Cost(pages * resource.getpagesize(), round(used.ru_utime + used.ru_stime, 2))


def main(arguments: list[str]) -> None:
    if arguments:
        found = _measure_here(int(arguments[0]), giving_back=arguments[1] == "True")
        print(json.dumps(found.__dict__))
        return
    for giving_back in (False, True):
        each = cost(giving_back=giving_back)
        print(
            f"given back: {giving_back}, {each.resident_bytes / 2**20:.0f} MiB, "
            f"{each.cpu_seconds / SAMPLES / 2 * 1000:.0f} ms of CPU a sample"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
