"""The frame counter is read rightly or not at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.videos import BITS, draw, read_counter

_numbers = st.integers(0, 2**BITS - 1)


@given(_numbers, st.sampled_from([(160, 90), (320, 180), (1280, 720), (1366, 768)]))
def test_every_number_is_read_as_it_was_drawn(number: int, size: tuple[int, int]) -> None:
    assert read_counter(draw(number, *size)) == number


@given(_numbers)
def test_noise_darkness_and_colour_do_not_change_the_number(number: int) -> None:
    grey = draw(number, 320, 180).astype(np.float64)
    noise = np.random.default_rng(number).normal(0, 25, grey.shape)
    dark = np.clip(grey * 0.4 + 20 + noise, 0, 255).astype(np.uint8)
    assert read_counter(np.stack([dark, dark, dark], axis=2)) == number


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_without_a_counter_is_an_error(level: int) -> None:
    with pytest.raises(ValueError, match="no counter"):
        read_counter(np.full((180, 320), level, np.uint8))


def test_a_picture_mixed_of_two_frames_is_an_error() -> None:
    mixed = (draw(0b0101, 320, 180) // 2 + draw(0b1010, 320, 180) // 2).astype(np.uint8)
    with pytest.raises(ValueError, match="no counter"):
        read_counter(mixed)
