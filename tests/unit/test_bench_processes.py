"""CPU time of trees: nobody is missed, nobody counted twice."""

import os
import subprocess
import sys

import pytest

from tests.bench import processes
from tests.bench.processes import Process, Times, memory, parse_stat, times

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"


def table(*rows: tuple[int, int, float, float]) -> dict[int, Process]:
    return {row[0]: Process(*row) for row in rows}


def test_a_name_with_blanks_and_brackets_does_not_shift_the_fields() -> None:
    ticks = processes.TICKS_PER_SECOND
    text = f"42 (a) b (c)) S 7 1 1 0 -1 0 0 0 0 0 {ticks} {2 * ticks} {3 * ticks} {4 * ticks} 20"
    assert parse_stat(text) == Process(42, 7, 3.0, 7.0)


def test_everybody_counts_for_the_nearest_named_ancestor() -> None:
    all_processes = table(
        (1, 0, 100.0, 100.0), (10, 1, 1.0, 0.5), (11, 10, 2.0, 0.25), (12, 11, 4.0, 0.5)
    )
    assert times(all_processes, {10: "up", 11: "encoder"}) == {
        "up": Times(1.0, 0.5),
        "encoder": Times(2.0, 4.75),
    }


def test_processes_of_one_name_are_summed() -> None:
    all_processes = table((10, 1, 1.0, 0.0), (11, 1, 2.0, 0.0), (12, 1, 4.0, 0.0))
    assert times(all_processes, {10: "ffmpeg", 11: "ffmpeg"}) == {"ffmpeg": Times(3.0, 0.0)}


def test_a_child_that_ends_between_two_readings_is_counted_once() -> None:
    names = {10: "archiver"}
    before = times(table((10, 1, 1.0, 0.0), (11, 10, 2.0, 0.0)), names)
    after = times(table((10, 1, 1.5, 5.0)), names)
    assert after["archiver"].since(before["archiver"]).total == pytest.approx(3.5)


def test_a_real_child_that_has_ended_is_in_its_parents_time() -> None:
    names = {os.getpid(): "us"}
    before = times(processes.processes(), names)["us"]
    subprocess.run([sys.executable, "-c", BURN], check=True)
    used = times(processes.processes(), names)["us"].since(before)
    assert 0.25 < used.children < 5


def test_memory_of_a_real_process_is_found() -> None:
    assert memory(processes.processes(), {os.getpid(): "us"})["us"] > 5 * 2**20


def test_a_process_that_is_gone_takes_no_memory() -> None:
    assert memory(table((2**22 + 1, 1, 0.0, 0.0)), {2**22 + 1: "gone"}) == {"gone": 0}
