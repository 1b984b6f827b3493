"""Whether this machine let us run: what a limit on a length of time is held against.

A limit says what Cradle may take, and not for how long a busy machine lets nobody run. So a process
of its own asks for a processor twenty times a second, and keeps count of how much later than asked
it got one: none to speak of where there is room, and all of a second that everybody stood still. It
is not in the process of the test, whose own threads could keep it waiting. Of a process that
computes, such as a Python that starts, the kernel tells how long it was ready and not let run.
"""

import mmap
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.support import eventually

STEP_SECONDS: Final = 0.05
PUNCTUAL_SECONDS: Final = 0.03
"""Late by less is not counted: an idle machine is, too."""
_FORM: Final = struct.Struct("ddd")
"""Seconds lost so far; the longest of them at a time; when it was last seen (monotonic)."""
_PROBE: Final = f"""
import mmap, struct, time
with open(0, "r+b") as file:
    shown = mmap.mmap(file.fileno(), {_FORM.size})
lost = longest = 0.0
seen = time.monotonic()
while True:
    struct.pack_into("ddd", shown, 0, lost, longest, seen)
    time.sleep({STEP_SECONDS})
    now = time.monotonic()
    late = now - seen - {STEP_SECONDS}
    if late > {PUNCTUAL_SECONDS}:
        lost, longest = lost + late, max(longest, late)
    seen = now
"""


class Starving:
    """What was lost since it was made, and how much of it at a time."""

    def __init__(self, shown: mmap.mmap) -> None:
        self._shown = shown

    def _read(self) -> tuple[float, float]:
        lost, longest, seen = _FORM.unpack_from(self._shown)
        late = time.monotonic() - seen - STEP_SECONDS
        if late > PUNCTUAL_SECONDS:  # it is being kept waiting now
            return lost + late, max(longest, late)
        return lost, longest

    @property
    def longest_seconds(self) -> float:
        """The longest time in which nobody got to run."""
        return self._read()[1]

    def seconds(self, *started: int) -> float:
        """Lost by everybody, or by one of these processes that were started meanwhile."""
        return max(self._read()[0], *map(waited_seconds, started), 0.0)


@contextmanager
def starving() -> Iterator[Starving]:
    """Watch the machine for a while."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(_FORM.size))
        file.flush()
        shown = mmap.mmap(file.fileno(), _FORM.size)
        command = [sys.executable, "-I", "-S", "-c", _PROBE]
        with subprocess.Popen(command, stdin=file) as probe:
            try:
                eventually(lambda: _FORM.unpack_from(shown)[2], 60, "the probe")
                yield Starving(shown)
            finally:
                probe.kill()


def waited_seconds(pid: int) -> float:
    """For how long the first thread of a process was ready and waited for a processor."""
    return _waited(Path(f"/proc/{pid}"))


class Threads:
    """Those of this process, from now on."""

    def __init__(self) -> None:
        self._before = self._now()

    @staticmethod
    def _now() -> dict[str, float]:
        return {each.name: _waited(each) for each in Path("/proc/self/task").iterdir()}

    def waited_seconds(self) -> float:
        """The longest that one of them was ready and waited for a processor."""
        return max(now - self._before.get(name, 0.0) for name, now in self._now().items())


def _waited(place: Path) -> float:
    with suppress(OSError):  # it has ended, or this kernel does not tell
        return int((place / "schedstat").read_text().split()[1]) / 1e9
    return 0.0
