"""Byte ranges, as browsers ask for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viewer.ranges import ByteRange, parse_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-", ByteRange(0, 99)),
        ("bytes=10-19", ByteRange(10, 19)),
        ("bytes=10-1000", ByteRange(10, 99)),
        ("bytes=-5", ByteRange(95, 99)),
        ("bytes=-1000", ByteRange(0, 99)),
        ("bytes=0-1,5-6", None),
        ("lines=1-2", None),
        ("bytes=-", None),
        ("bytes=9-3", None),
        ("bytes=١-٢", None),
    ],
)
def test_a_range_is_the_part_of_the_object_that_is_asked_for(
    header: str | None, expected: ByteRange | None
) -> None:
    assert parse_range(header, 100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_without_a_byte_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match="no byte"):
        parse_range(header, 100)


@given(st.text(max_size=40), st.integers(1, 10**12))
def test_whatever_is_asked_for_lies_inside(header: str, size: int) -> None:
    try:
        found = parse_range(f"bytes={header}", size)
    except ValueError:
        return
    assert found is None or 0 <= found.first <= found.last < size
