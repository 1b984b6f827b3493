"""`eventually` returns what it waited for, or fails with the last thing it saw."""

import pytest

from shared.clock import SimulatedClock
from tests.support import eventually


def test_it_returns_the_first_true_answer() -> None:
    answers = iter([0, None, "found", "later"])
    assert eventually(lambda: next(answers), 5, every_seconds=0) == "found"


def test_it_fails_and_says_what_was_missing() -> None:
    with pytest.raises(AssertionError, match=r"not within 0 s: the bus .*last: \[\]"):
        eventually(list, 0, "the bus", every_seconds=0)


def test_time_in_which_nobody_was_let_run_uses_up_no_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimulatedClock()
    stalls = iter([0.0, 5.0, 0.0, 0.0])
    monkeypatch.setattr("tests.support.time.monotonic", clock.monotonic)
    monkeypatch.setattr(
        "tests.support.time.sleep", lambda seconds: clock.advance(seconds + next(stalls))
    )
    answers = iter([0, 0, 0, "found"])
    assert eventually(lambda: next(answers), 1, every_seconds=0.3) == "found"
    with pytest.raises(AssertionError, match="not within 1 s"):
        stalls = iter([0.0] * 9)
        eventually(list, 1, every_seconds=0.3)
