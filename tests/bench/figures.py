"""From what was observed to figures: pure arithmetic.

A frame is lost if it was due within the measured time and is nowhere in what was published, or
nowhere in what was recorded; repeated if it is there more than once. Delay is taken of every frame
of every segment published within the measured time.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from tests.bench.mark import Mark
from tests.bench.processes import Times


@dataclass(frozen=True)
class Window:
    """The measured time, by the wall clock."""

    begin_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.begin_ns) / 1e9

    def holds(self, moment_ns: int) -> bool:
        return self.begin_ns <= moment_ns < self.end_ns


@dataclass(frozen=True)
class Delay:
    """Of frames, from being sent to being in the playlist; seconds."""

    median: float
    p95: float
    worst: float
    frames: int
    """How many were looked at."""

    @classmethod
    def of(cls, seconds: list[float]) -> "Delay":
        """Raises ValueError if there are none."""
        if not seconds:
            raise ValueError("no frame was published in the measured time")
        median, p95, worst = np.percentile(np.array(seconds), (50, 95, 100))
        return cls(float(median), float(p95), float(worst), len(seconds))


@dataclass(frozen=True)
class Tally:
    """Frames that were due within the measured time."""

    expected: int
    lost: int
    repeated: int

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.expected + other.expected, self.lost + other.lost, self.repeated + other.repeated
        )


def tally(expected: range, found: Iterable[int]) -> Tally:
    """Compare the numbers of one camera's frames with those found, in any order."""
    counts = Counter(number for number in found if number in expected)
    repeated = sum(count - 1 for count in counts.values())
    return Tally(len(expected), len(expected) - len(counts), repeated)


def tally_all(expected: Mapping[int, range], found: Iterable[tuple[int, Mark]]) -> Tally:
    """Over all cameras. Raises ValueError at a frame that is another camera's."""
    numbers: dict[int, list[int]] = {camera: [] for camera in expected}
    for camera, mark in found:
        if mark.camera != camera:
            raise ValueError(f"a frame of camera {mark.camera} lies with camera {camera}")
        numbers[camera].append(mark.number)
    return sum(
        (tally(expected[camera], numbers[camera]) for camera in expected), start=Tally(0, 0, 0)
    )


@dataclass(frozen=True)
class Result:
    """One side with one number of cameras."""

    contender: str
    cameras: int
    seconds: float
    cpu: Mapping[str, Times]
    """CPU-seconds within the measured time, by part."""
    memory: Mapping[str, int]
    """PSS in bytes by part, when their sum was largest."""
    delay: Delay
    segment_seconds: float
    """Median length of a segment."""
    live: Tally
    recorded: Tally
    troubles: Mapping[str, float]

    def per_camera_minute(self, seconds: float) -> float:
        """CPU-seconds of the measured time as CPU-seconds per camera-minute."""
        return seconds * 60 / (self.seconds * self.cameras)

    @property
    def cost(self) -> float:
        """CPU-seconds per camera-minute, of everything."""
        return self.per_camera_minute(sum(times.total for times in self.cpu.values()))

    @property
    def memory_bytes(self) -> int:
        return sum(self.memory.values())


@dataclass(frozen=True)
class Conditions:
    """What else went on meanwhile."""

    cpus: int
    seconds: float
    cameras_cpu: float
    """CPU-seconds of what plays the sources."""
    bench_cpu: float
    """CPU-seconds of the bench itself, which looks at playlists and memory."""
    other_cpu: float
    """CPU-seconds of the kernel's own threads, of other programs, and what the host took away."""
    late_p99_seconds: float
    """How late the cameras sent their frames."""
    cut_off: int
    """Viewers that the cameras cut off for being too slow."""

    def share(self, cpu_seconds: float) -> float:
        """As a share of the machine."""
        return cpu_seconds / (self.cpus * self.seconds)


@dataclass(frozen=True)
class Round:
    """One measurement: one side, or both side by side."""

    results: list[Result]
    conditions: Conditions


@dataclass(frozen=True)
class OldWay:
    """What the old way cost."""

    cpu_seconds: float
    elapsed_seconds: float
    pictures: int
    frames_per_second: int

    @property
    def cost(self) -> float:
        """CPU-seconds per camera-minute."""
        return self.cpu_seconds * 60 * self.frames_per_second / self.pictures
