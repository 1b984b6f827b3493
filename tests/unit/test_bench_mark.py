"""The bench's marks: what they say comes back, whatever surrounds them."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.bench.mark import SEARCHED_BYTES, Mark, digits, find_mark, sei_unit

marks = some.builds(
    Mark,
    camera=some.integers(0, 9999),
    number=some.integers(0, 10**10 - 1),
    sent_ns=some.integers(0, 2**63),
)


@given(marks, some.binary(max_size=100))
def test_a_mark_is_found_behind_parameter_sets(mark: Mark, before: bytes) -> None:
    assert find_mark(before + sei_unit(mark) + bytes(10_000)) == mark


@given(marks)
def test_a_mark_needs_no_emulation_prevention_and_never_changes_its_length(mark: Mark) -> None:
    assert 0 not in sei_unit(mark)
    assert len(digits(mark)) == len(digits(Mark(0, 0, 0)))


@pytest.mark.parametrize("data", [b"", bytes(1000), sei_unit(Mark(1, 2, 3))[:-10]])
def test_a_frame_without_a_whole_mark_has_none(data: bytes) -> None:
    assert find_mark(data) is None


def test_a_picture_that_looks_like_a_mark_is_not_searched() -> None:
    assert find_mark(bytes(SEARCHED_BYTES) + sei_unit(Mark(1, 2, 3))) is None
