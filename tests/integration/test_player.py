"""What people see: hls.js in Chromium plays what the encoder publishes, whatever happens to it.

The pictures carry their number, so that each picture on the screen is compared with the moment at
which it was captured. A screen is opened once and never loaded again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from playwright.sync_api import Browser
from pydantic import SecretStr

from encoder.playlist import Segment, parse
from shared.config import ArchiveSettings
from shared.messages import Batch
from tests.encoder_live import Capture, Stand, settings_of, stand
from tests.line import line, wait_seconds
from tests.player.screen import Picture, Report, Screen, chromium, screen
from tests.player.server import served
from tests.starving import starving
from tests.support import eventually
from tests.videos import Videos

CAMERA = "camera-1"
RATE = 30
MOST_DELAY_SECONDS = 6.0
"""From capture to screen. hls.js keeps three segments, of 1 s, between itself and the newest."""
MOST_RESUME_SECONDS = 5.0
"""From the first new entry of the playlist to its picture on the screen."""
MOST_OFF_SECONDS = 0.05
"""Between when a picture was captured and when the playlist says so."""
MOST_DROPPED_SHARE = 0.2
"""Of the pictures, on a machine that is busy with other things."""

MOST_STANDING_SECONDS = 0.2
"""In which nothing on this machine was let run, while it is measured."""

NEVER = 10**9
LOST = 3
"""Fragments of 1 s, but for their beginning."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@contextmanager
def watched(browser: Browser, camera: Stand) -> Iterator[Screen]:
    """A screen before a camera, once that is live."""
    eventually(lambda: len(camera.segments) >= 3, 30, "live")
    with served(camera.settings.live.root) as server, screen(browser, server, CAMERA) as made:
        yield made


@dataclass(frozen=True)
class Undisturbed:
    """What was seen, and for how long nothing on this machine was let run meanwhile."""

    report: Report
    lost_seconds: float


@pytest.fixture(scope="module", params=["h264", "hevc"])
def undisturbed(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    videos: Videos,
    browser: Browser,
) -> Undisturbed:
    """What is seen of a camera to which nothing happens; HEVC is shown as H.264."""
    video = videos(".mp4", seconds=30, codec=request.param)

    def watch() -> tuple[Undisturbed, float]:
        settings = settings_of(tmp_path_factory.mktemp("undisturbed"))
        with (
            starving() as machine,
            stand(settings) as camera,
            Capture(video, settings.frames.root, camera.deliver),
            watched(browser, camera) as made,
        ):
            report = made.until_shown(6 * RATE, 30)
            return Undisturbed(report, machine.seconds()), machine.longest_seconds

    seen, stood_seconds = watch()
    if stood_seconds > MOST_STANDING_SECONDS:  # then something has happened to it
        seen, _ = watch()
    return seen


def test_the_picture_moves_at_the_pace_of_the_room_and_has_its_sound(
    undisturbed: Undisturbed,
) -> None:
    report, pictures = undisturbed.report, undisturbed.report.pictures
    seconds = (pictures[-1].at - pictures[0].at) / 1000
    assert follow_each_other(pictures)
    for passed in (
        (number(pictures[-1]) - number(pictures[0])) / RATE,  # in the picture
        dated(pictures[-1]) - dated(pictures[0]),  # in the playlist
        pictures[-1].media - pictures[0].media,
    ):
        assert passed == pytest.approx(seconds, abs=0.3 + undisturbed.lost_seconds)
    least_seconds = seconds - undisturbed.lost_seconds
    assert len(pictures) >= (1 - MOST_DROPPED_SHARE) * RATE * least_seconds
    assert report.decoded >= len(pictures)
    assert report.sound > 5_000 * seconds  # of about 8,000 bytes a second


def test_a_picture_is_on_the_screen_soon_after_it_was_captured(
    undisturbed: Undisturbed, record_property: Callable[[str, object], None]
) -> None:
    pictures = undisturbed.report.pictures
    delays = [each.delay_seconds for each in pictures if each.delay_seconds]
    record_property("delay_seconds", round(median(delays), 3))
    print(f"from capture to screen: {median(delays):.2f} s, at most {max(delays):.2f} s")
    assert len(delays) == len(pictures)
    assert min(delays) > 0
    assert max(delays) - undisturbed.lost_seconds < MOST_DELAY_SECONDS


def test_an_encoder_that_is_killed_and_started_again_stops_no_player(
    tmp_path: Path, broker_url: str, browser: Browser, videos: Videos
) -> None:
    video = videos(".mp4", seconds=60)
    cameras = [{"id": CAMERA, "source": video.as_uri(), "loop": True}]
    archive = ArchiveSettings(secret_key=SecretStr("unused"))  # nothing is archived here
    with line(tmp_path, broker_url, archive, cameras) as made, served(made.live) as server:
        made.start("ingest", "encoder")
        made.until_live(CAMERA)
        with screen(browser, server, CAMERA) as player:
            player.until_shown(RATE, 30)
            made.kill("encoder")
            sequence = made.media_sequence(CAMERA)
            made.start("encoder")
            eventually(lambda: made.media_sequence(CAMERA) > sequence, 20, "a new entry")
            playlist = parse(made.playlist(CAMERA))
            assert playlist is not None
            until_on_screen(player, playlist.segments[-1])
            report = player.until_shown(2 * RATE, 30)
    assert follow_each_other(report.pictures)
    assert len({each.discontinuity for each in report.fragments}) == 2


def test_a_hole_in_the_stream_is_passed_and_every_picture_keeps_its_time(
    tmp_path: Path, browser: Browser, videos: Videos
) -> None:
    settings = settings_of(tmp_path)
    lost_from = NEVER

    def deliver(batch: Batch) -> None:
        if not (lost_from, 1) <= (batch.fragment, batch.part) < (lost_from + LOST, 0):
            camera.deliver(batch)

    video = videos(".mp4", seconds=60)
    with stand(settings) as camera, Capture(video, settings.frames.root, deliver) as capture:
        with watched(browser, camera) as player:
            lost_from = capture.batches[-1].fragment + 1
            behind = eventually(
                lambda: [each for each in camera.segments[1:] if each.discontinuity], 20, "a hole"
            )
            until_on_screen(player, behind[0])
            report = player.until_shown(2 * RATE, 30)
        assert behind[0].generation == camera.segments[-1].generation
        began = capture.batches[0].captured_at.timestamp()
    assert follow_each_other(report.pictures)
    assert len({each.discontinuity for each in report.fragments}) == 2
    assert max(number(b) - number(a) for a, b in pairwise(report.pictures)) > (LOST - 1) * RATE
    off = [dated(each) - began - number(each) / RATE for each in report.pictures]
    assert max(map(abs, off)) < MOST_OFF_SECONDS


def test_a_dead_camera_shows_nothing_new_and_its_return_is_shown_without_help(
    tmp_path: Path, browser: Browser, videos: Videos
) -> None:
    settings = settings_of(tmp_path)
    video = videos(".mp4", seconds=60)
    with stand(settings) as camera, ExitStack() as alive:
        alive.enter_context(Capture(video, settings.frames.root, camera.deliver))
        with watched(browser, camera) as player:
            alive.close()
            eventually(lambda: camera.camera.state == "stalled", 20, "the camera is dead")
            last = camera.segments[-1]
            until_on_screen(player, last)
            before = player.until(stands, 20, "what was there is shown")
            wait_seconds(2)
            after = player.playing()
            assert len(after.pictures) == len(before.pictures)
            assert not after.paused
            alive.enter_context(Capture(video, settings.frames.root, camera.deliver))
            back = eventually(
                lambda: [each for each in camera.segments if each.generation > last.generation],
                20,
                "the camera is back",
            )
            until_on_screen(player, back[0])
            report = player.until_shown(2 * RATE, 30)
    returned_at = back[0].captured_at.timestamp() - 0.001
    assert follow_each_other([each for each in report.pictures if dated(each) >= returned_at])


def until_on_screen(player: Screen, segment: Segment) -> None:
    """Wait until a segment that has just been published is shown.

    When it was, the page tells: we may look later.
    """
    captured_at, began = segment.captured_at.timestamp(), time.time()
    with starving() as machine:
        report = player.until(
            lambda report: dated(report.pictures[-1]) >= captured_at, 60, f"{segment.uri} is shown"
        )
        shown_at = next(each.at for each in report.pictures if dated(each) >= captured_at) / 1000
        assert shown_at - began - machine.seconds() < MOST_RESUME_SECONDS


def stands(report: Report) -> bool:
    """Nothing new has been shown for a second."""
    return time.time() - report.pictures[-1].at / 1000 > 1


def number(picture: Picture) -> int:
    assert picture.counter is not None, picture
    return picture.counter


def dated(picture: Picture) -> float:
    """When it was captured, as the playlist says, in seconds since 1970."""
    assert picture.captured_at is not None, picture
    return picture.captured_at / 1000


def follow_each_other(pictures: list[Picture]) -> bool:
    """None is shown twice or after a younger one."""
    return all(number(a) < number(b) and dated(a) < dated(b) for a, b in pairwise(pictures))
