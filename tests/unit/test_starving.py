"""The tests' own yardstick: what a machine that stands still takes is told from what we take."""

import os
import signal
import subprocess
import sys

from tests.starving import starving, waited_seconds
from tests.support import eventually

BUSY = "while True: pass"


def children() -> list[int]:
    tasks = f"/proc/{os.getpid()}/task/{os.getpid()}/children"
    with open(tasks, encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


def test_a_time_in_which_nobody_runs_is_counted_while_it_lasts_and_afterwards() -> None:
    before = {*children()}
    with starving() as machine:
        (probe,) = {*children()} - before
        os.kill(probe, signal.SIGSTOP)
        eventually(lambda: machine.seconds() > 0.5, 10)
        os.kill(probe, signal.SIGCONT)
        eventually(lambda: machine.longest_seconds > 0.5, 10)
        longest_seconds = machine.longest_seconds
        assert machine.seconds() >= longest_seconds


def test_a_process_that_must_share_its_processor_has_waited() -> None:
    one = {min(os.sched_getaffinity(0))}
    both = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2)]
    try:
        for each in both:
            os.sched_setaffinity(each.pid, one)
        eventually(lambda: all(waited_seconds(each.pid) > 0.1 for each in both), 30)
        with starving() as machine:
            assert machine.seconds(both[0].pid) >= waited_seconds(both[0].pid) - 0.1
    finally:
        for each in both:
            each.kill()
            each.wait()
    assert waited_seconds(both[0].pid) == 0
