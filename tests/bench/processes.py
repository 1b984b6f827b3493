"""What whole trees of processes cost, from /proc.

CPU time of a tree is that of its living processes (utime, stime) and of the children they have
reaped (cutime, cstime); a child that ends meanwhile moves from the one into the other, so the
difference of two readings misses nobody. Every process counts for the nearest of its ancestors
that has a name: a stage's own process, and what it started, are told apart. Memory is PSS, in
which a page that several processes share is counted once in all.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

PROC: Final = Path("/proc")
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")

_BUSY_FIELDS: Final = (1, 2, 3, 6, 7, 8)
"""Of /proc/stat's first line: user, nice, system, irq, softirq, steal."""


class Times(NamedTuple):
    """CPU-seconds."""

    own: float
    """Of the named process itself."""
    children: float
    """Of all that it started."""

    @property
    def total(self) -> float:
        return self.own + self.children

    def since(self, before: "Times") -> "Times":
        return Times(self.own - before.own, self.children - before.children)


@dataclass(frozen=True)
class Process:
    """One line of /proc/<pid>/stat. CPU-seconds."""

    pid: int
    parent: int
    used: float
    """By itself."""
    reaped: float
    """By children that have ended."""


def parse_stat(text: str) -> Process:
    """Read /proc/<pid>/stat (proc(5)); the program's name may hold blanks and brackets."""
    pid, _, rest = text.partition(" ")
    fields = rest.rpartition(")")[2].split()
    used, reaped = (int(fields[i]) + int(fields[i + 1]) for i in (11, 13))
    return Process(int(pid), int(fields[1]), used / TICKS_PER_SECOND, reaped / TICKS_PER_SECOND)


def processes() -> dict[int, Process]:
    """All processes of the machine, by pid."""
    found = {}
    for name in os.listdir(PROC):
        if name.isdecimal():
            try:
                found[int(name)] = parse_stat((PROC / name / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended
    return found


def owners(
    all_processes: Mapping[int, Process], names: Mapping[int, str]
) -> Iterator[tuple[Process, int]]:
    """Each process below a named one, with the pid of the nearest that has a name."""
    for process in all_processes.values():
        pid: int | None = process.pid
        while pid is not None and pid not in names:
            above = all_processes.get(pid)
            pid = above.parent if above is not None else None
        if pid is not None:
            yield process, pid


def times(all_processes: Mapping[int, Process], names: Mapping[int, str]) -> dict[str, Times]:
    """CPU time so far, by name; several processes may have the same."""
    sums = dict.fromkeys(names.values(), Times(0.0, 0.0))
    for process, owner in owners(all_processes, names):
        own, children = sums[names[owner]]
        if process.pid == owner:
            sums[names[owner]] = Times(own + process.used, children + process.reaped)
        else:
            sums[names[owner]] = Times(own, children + process.used + process.reaped)
    return sums


def memory(all_processes: Mapping[int, Process], names: Mapping[int, str]) -> dict[str, int]:
    """PSS in bytes now, by name."""
    sums = dict.fromkeys(names.values(), 0)
    for process, owner in owners(all_processes, names):
        sums[names[owner]] += _pss(process.pid)
    return sums


def resident_bytes() -> int:
    """Of this process, now."""
    pages = int((PROC / "self" / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _pss(pid: int) -> int:
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    line = next((line for line in text.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
    return int(line.split()[1]) * 1024


def busy_seconds() -> float:
    """CPU-seconds that this machine has worked, or would have if its host had let it."""
    fields = (PROC / "stat").read_text().partition("\n")[0].split()
    return sum(int(fields[i]) for i in _BUSY_FIELDS) / TICKS_PER_SECOND


def command_of(pid: int) -> list[str]:
    """Program and arguments; empty if it has ended."""
    try:
        return (PROC / str(pid) / "cmdline").read_text().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []
