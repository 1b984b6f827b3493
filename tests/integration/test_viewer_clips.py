"""Playing, joining, holding: every frame is counted."""

import io
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import pytest

from shared.config import ArchiveSettings
from tests.archiver_fragments import CAMERA
from tests.line import decode_counters
from tests.videos import Videos
from tests.viewer_bucket import RATE, House, house, span_query


def test_a_clip_is_played_by_byte_ranges(viewed: House) -> None:
    viewed.until_read()
    person, clip = viewed.person(), viewed.clips[1]
    whole = person.ask("GET", viewed.path(clip, "video"))
    assert (whole.status, len(whole.body)) == (200, clip.bytes)
    assert whole.headers["accept-ranges"] == "bytes"
    part = person.ask("GET", viewed.path(clip, "video"), range="bytes=100-299")
    assert part.status == 206
    assert part.headers["content-range"] == f"bytes 100-299/{clip.bytes}"
    assert part.body == whole.body[100:300]
    beyond = person.ask("GET", viewed.path(clip, "video"), range=f"bytes={clip.bytes}-")
    assert beyond.status == 416
    kept = viewed.person("boss").ask("GET", viewed.path(clip, "download"))
    assert kept.body == whole.body
    name = clip.object_key.rpartition("/")[2]
    assert kept.headers["content-disposition"] == f'attachment; filename="{name}"'
    poster = person.ask("GET", viewed.path(clip, "poster"))
    assert poster.body.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("starts", "ends", "fragments"),
    [(0, 9, (0, 9)), (1.5, 4.5, (1, 5)), (2.9, 3.1, (2, 4)), (4.2, 4.8, (4, 5)), (8.5, 60, (8, 9))],
)
def test_a_span_is_joined_frame_by_frame_across_clips(
    viewed: House, starts: float, ends: float, fragments: tuple[int, int]
) -> None:
    viewed.until_read()
    began = viewed.clips[0].starts_at
    query = span_query(began + timedelta(seconds=starts), began + timedelta(seconds=ends))
    answer = viewed.person("boss").ask("GET", f"/api/cameras/{CAMERA}/span?{query}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "video/mp4"
    first, end = fragments
    assert decode_counters(answer.body) == list(range(first * RATE, end * RATE))
    assert not list((viewed.folder / "viewer" / "downloads").rglob("*.mp4"))


def test_a_span_without_footage_or_without_end_is_refused(viewed: House) -> None:
    viewed.until_read()
    boss = viewed.person("boss")
    began = viewed.clips[0].starts_at
    for starts, ends, status in (
        (-900, -600, 404),
        (5, 5, 404),
        (5, 4, 404),
        (0, 5 * 3600, 409),
    ):
        query = span_query(began + timedelta(seconds=starts), began + timedelta(seconds=ends))
        assert boss.ask("GET", f"/api/cameras/{CAMERA}/span?{query}").status == status


def test_a_picture_of_a_moment_comes_from_the_clip(viewed: House) -> None:
    viewed.until_read()
    person = viewed.person()

    def picture(seconds: float) -> Any:
        at = (viewed.clips[0].starts_at + timedelta(seconds=seconds)).isoformat()
        return person.ask("GET", f"/api/cameras/{CAMERA}/picture?at={quote(at)}")

    assert picture(4.5).body.startswith(b"\xff\xd8")
    assert picture(-60).status == 404
    assert picture(3600).status == 404


def test_a_hold_is_an_object_that_expiry_respects(viewed: House) -> None:
    viewed.until_read()
    boss, clip = viewed.person("boss"), viewed.clips[1]
    assert boss.ask("PUT", viewed.path(clip, "hold") + "?reason=asked").status == 204
    words = viewed.store.read(f"holds/{clip.identity.manifest_key}")
    assert words is not None
    assert b"by boss: asked" in words
    assert boss.get(viewed.path(clip))["is_held"]
    assert boss.ask("PUT", viewed.path(clip, "hold")).status == 204, "held twice is held"
    assert boss.ask("DELETE", viewed.path(clip, "hold")).status == 204
    assert viewed.store.read(f"holds/{clip.identity.manifest_key}") is None
    assert not boss.get(viewed.path(clip))["is_held"]


def test_a_span_of_a_camera_with_reordered_frames_is_whole_and_has_its_sound(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings, videos: Videos
) -> None:
    video = videos(".mp4", seconds=9, bframes=2)
    with house(tmp_path, broker_url, archive_settings, video) as made:
        made.until_read()
        began = made.clips[0].starts_at
        query = span_query(began + timedelta(seconds=1.5), began + timedelta(seconds=7.5))
        answer = made.person("boss").ask("GET", f"/api/cameras/{CAMERA}/span?{query}")
        assert answer.status == 200, answer
    assert decode_counters(answer.body) == list(range(RATE, 8 * RATE))
    with av.open(io.BytesIO(answer.body), "r") as file:
        sound = sum(float(each.samples) / each.sample_rate for each in file.decode(audio=0))
        assert sound == pytest.approx(7, abs=0.3)
    with av.open(io.BytesIO(answer.body), "r") as file:
        times = [packet.dts for packet in file.demux(video=0) if packet.dts is not None]
        assert times == sorted(set(times))


def test_an_hevc_clip_is_encoded_anew_for_browsers_that_cannot_play_it(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings, videos: Videos
) -> None:
    video = videos(".mp4", seconds=9, codec="hevc")
    with house(tmp_path, broker_url, archive_settings, video, codec="hevc") as made:
        day = made.until_read()
        assert {each["codec"] for each in day["clips"]} == {"hevc"}
        person = made.person()
        answer = person.ask("GET", made.path(made.clips[0], "h264"))
        assert answer.status == 200
        with av.open(io.BytesIO(answer.body), "r") as file:
            assert file.streams.video[0].codec_context.name == "h264"
        assert decode_counters(answer.body) == list(range(3 * RATE))
        assert person.ask("GET", made.path(made.clips[1], "h264")).status == 200


def test_who_watched_what_is_in_the_log_once_a_minute(
    viewed: House, capsys: pytest.CaptureFixture[str]
) -> None:
    viewed.until_read()
    person, clip = viewed.person("boss"), viewed.clips[2]
    capsys.readouterr()
    for _ in range(3):
        person.ask("GET", viewed.path(clip, "video"), range="bytes=0-99")
    said = [line for line in capsys.readouterr().out.splitlines() if "watched.clip" in line]
    assert len(said) == 1
    assert "user=boss" in said[0]
    assert clip.object_key in said[0]


def test_a_clip_that_has_expired_meanwhile_is_not_said_to_be_held_and_leaves_no_hole(
    own_viewed: House,
) -> None:
    own_viewed.until_read()
    boss, clip = own_viewed.person("boss"), own_viewed.clips[1]
    own_viewed.store.remove(clip.identity.manifest_key)
    assert boss.ask("PUT", own_viewed.path(clip, "hold")).status == 404
    assert not list(own_viewed.store.list("holds/"))
    query = span_query(own_viewed.clips[0].starts_at, own_viewed.clips[2].ends_at)
    answer = boss.ask("GET", f"/api/cameras/{CAMERA}/span?{query}")
    assert answer.status == 409, "a file that lacks minutes must not look whole"
