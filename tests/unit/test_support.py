"""`eventually` returns what it waited for, or fails with the last thing it saw."""

import pytest

from tests.support import eventually


def test_it_returns_the_first_true_answer() -> None:
    answers = iter([0, None, "found", "later"])
    assert eventually(lambda: next(answers), 5, every_seconds=0) == "found"


def test_it_fails_and_says_what_was_missing() -> None:
    with pytest.raises(AssertionError, match=r"not within 0 s: the bus .*last: \[\]"):
        eventually(list, 0, "the bus", every_seconds=0)
