"""What counts as a change, and what the local provider says of it."""

import numpy as np
import pytest

from analyzer.gate import Gate
from analyzer.local import LocalProvider
from analyzer.measurement import changed_share, measure
from analyzer.outcome import NO_CALL
from analyzer.pictures import DecodedPicture, masked
from analyzer.prompt import Language
from analyzer.provider import Context
from shared.observation import Activity, Presence, View
from tests.analyzer_samples import START, Pixels, picture, room

GATE = Gate(change_threshold=0.012)


def noisy(pixels: Pixels, seed: int) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, 6, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def changed(before: DecodedPicture, after: DecodedPicture) -> float:
    return changed_share(before.sketch, after.sketch)


def test_sensor_noise_is_no_change() -> None:
    pictures = [picture(noisy(room(), seed)) for seed in range(4)]
    measurement = measure(pictures[1:], pictures[0].sketch)
    assert measurement.changed_share < 0.001
    assert not GATE.opens(measurement, heartbeat=False)


def test_a_light_that_goes_brighter_everywhere_is_no_change() -> None:
    assert changed(picture(room()), picture(room(light=35))) < 0.001


def test_a_child_sized_thing_that_moves_is_a_change() -> None:
    before, after = picture(room(ball_at=(300, 300))), picture(room(ball_at=(420, 300)))
    measurement = measure([before, after], None)
    assert 0.02 < measurement.changed_share < 0.1
    assert measurement.most_changed == 1
    assert GATE.opens(measurement, heartbeat=False)


def test_a_change_between_two_intervals_is_seen() -> None:
    still = [picture(room(ball_at=(300, 300))) for _ in range(3)]
    assert not GATE.opens(measure(still, still[0].sketch), heartbeat=False)
    assert GATE.opens(measure(still, picture(room()).sketch), heartbeat=False)


def test_a_heartbeat_is_judged_changed_or_not() -> None:
    still = [picture(room())] * 2
    assert GATE.opens(measure(still, still[0].sketch), heartbeat=True)


def test_a_lone_picture_with_nothing_before_it_is_judged() -> None:
    assert GATE.opens(measure([picture(room())], None), heartbeat=False)


def test_another_picture_shape_is_a_change() -> None:
    assert changed(picture(room()), picture(room()[:, :320])) == 1.0


def test_what_moves_under_a_mask_is_no_change() -> None:
    right_half = [[(0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)]]
    before = masked(room(ball_at=(500, 300)), right_half, START)
    after = masked(room(ball_at=(560, 100)), right_half, START)
    assert changed(before, after) == 0.0


def test_a_change_is_a_share_of_what_is_seen() -> None:
    left_half = [[(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]]
    before, after = room(ball_at=(400, 300)), room(ball_at=(560, 100))
    whole = changed(picture(before), picture(after))
    half = changed(masked(before, left_half, START), masked(after, left_half, START))
    assert half == pytest.approx(2 * whole, rel=0.1)


def test_a_mask_does_not_make_a_room_dark_or_covered() -> None:
    most = [[(0.0, 0.0), (1.0, 0.0), (1.0, 0.6), (0.0, 0.6)]]
    open_, half = measure([picture(room())], None), measure([masked(room(), most, START)], None)
    assert half.view is View.CLEAR
    assert half.brightness >= open_.brightness - 5


def test_a_picture_masked_whole_measures_nothing() -> None:
    whole = [[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]]
    measurement = measure([masked(room(), whole, START)] * 2, None)
    assert (measurement.changed_share, measurement.brightness) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("pixels", "view"),
    [
        (room(), View.CLEAR),
        (room() // 10, View.DARK),
        (np.zeros((360, 640, 3), np.uint8), View.DARK),
        (noisy(np.full((360, 640, 3), 120, np.uint8), 1), View.COVERED),
    ],
    ids=["room", "dusk", "black", "hand over the lens"],
)
def test_a_covered_lens_and_a_dark_room_are_measured(pixels: Pixels, view: View) -> None:
    assert measure([picture(pixels)], None).view is view


@pytest.mark.parametrize(("language", "word"), [("ko", "바뀌었습니다"), ("en", "changed")])
def test_the_local_provider_says_only_what_it_measured(language: Language, word: str) -> None:
    pictures = [picture(room(ball_at=(300, 300))), picture(room(ball_at=(420, 300)))]
    measurement = measure(pictures, None)
    outcome = LocalProvider().describe(pictures, Context(language, measurement))
    seen = outcome.observation
    assert outcome.usage == NO_CALL
    assert seen.activity is Activity.CANNOT_TELL
    assert seen.adults is seen.children is Presence.CANNOT_TELL
    assert seen.view is View.CLEAR
    assert word in seen.summary
    assert f"{measurement.changed_share:.1%}" in seen.summary
