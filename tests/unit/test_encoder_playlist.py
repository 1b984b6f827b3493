"""The public playlist: its numbers only rise, and each segment keeps its own."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.playlist import STALE_SECONDS, Playlist, Segment, parse, round_half_up

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
KEEP = 6

durations = st.integers(1, 12_000_000).map(lambda microseconds: microseconds / 1_000_000)
lives = st.lists(st.tuples(st.booleans(), durations, st.booleans()), min_size=1, max_size=40)
"""For each segment: does it begin a generation, how long is it, was the worker restarted before."""


def segment(
    number: int,
    *,
    generation: int = 0,
    seconds: float = 1.0,
    first: bool = False,
    mp4: bool = False,
) -> Segment:
    name = f"{generation:020x}"
    return Segment(
        uri=f"{name}/{number:06d}.{'m4s' if mp4 else 'ts'}",
        duration_seconds=seconds,
        captured_at=START + timedelta(seconds=number),
        discontinuity=first,
        map_uri=f"{name}/init.mp4" if mp4 else None,
    )


def add(playlist: Playlist, *segments: Segment) -> Playlist:
    for each in segments:
        playlist = playlist.with_segment(each, keep=KEEP, least_target_seconds=1)
    return playlist


def numbers(playlist: Playlist) -> dict[str, tuple[int, int]]:
    """Media and discontinuity sequence number of each listed segment (RFC 8216, 6.2.1)."""
    found = {}
    discontinuities = playlist.discontinuity_sequence
    for offset, each in enumerate(playlist.segments):
        discontinuities += each.discontinuity
        found[each.uri] = (playlist.media_sequence + offset, discontinuities)
    return found


@given(lives)
def test_a_segment_keeps_its_numbers_for_as_long_as_it_is_listed(
    life: list[tuple[bool, float, bool]],
) -> None:
    playlist = Playlist.started_at(START, 1)
    known: dict[str, tuple[int, int]] = {}
    generation = 0
    for number, (begins, seconds, restarted) in enumerate(life):
        generation += begins
        if restarted:
            again = parse(playlist.text())
            assert again == playlist
            playlist = again
        before = playlist
        playlist = add(
            playlist, segment(number, generation=generation, seconds=seconds, first=begins)
        )
        assert playlist.media_sequence >= before.media_sequence
        assert playlist.discontinuity_sequence >= before.discontinuity_sequence
        for uri, own in numbers(playlist).items():
            assert known.setdefault(uri, own) == own
        assert len(set(known.values())) == len(known)
        assert [own[0] for own in known.values()] == sorted(own[0] for own in known.values())


@given(lives)
def test_the_target_covers_every_segment_and_holds_inside_a_generation(
    life: list[tuple[bool, float, bool]],
) -> None:
    playlist = Playlist.started_at(START, 1)
    generation = 0
    for number, (begins, seconds, _) in enumerate(life):
        generation += begins
        before = playlist
        playlist = add(
            playlist, segment(number, generation=generation, seconds=seconds, first=begins)
        )
        assert len(playlist.segments) <= KEEP
        longest = max(round_half_up(each.duration_seconds) for each in playlist.segments)
        assert playlist.target_seconds >= longest
        left = {s.generation for s in before.segments} - {s.generation for s in playlist.segments}
        if playlist.target_seconds < before.target_seconds:
            assert left


def test_the_target_falls_once_the_generation_that_needed_it_has_left() -> None:
    playlist = add(Playlist.started_at(START, 1), segment(0, seconds=9))
    playlist = add(playlist, *(segment(number, generation=1) for number in range(1, KEEP)))
    assert playlist.target_seconds == 9
    assert add(playlist, segment(KEEP, generation=1)).target_seconds == 1


def test_the_file_is_what_players_expect() -> None:
    playlist = Playlist(41, 7, 2, (segment(0, first=True), segment(1, seconds=1.966667)))
    assert playlist.text().splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:6",
        "#EXT-X-TARGETDURATION:2",
        "#EXT-X-MEDIA-SEQUENCE:41",
        "#EXT-X-DISCONTINUITY-SEQUENCE:7",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-PROGRAM-DATE-TIME:2026-03-01T09:00:00.000Z",
        "#EXTINF:1.000000,",
        "00000000000000000000/000000.ts",
        "#EXT-X-PROGRAM-DATE-TIME:2026-03-01T09:00:01.000Z",
        "#EXTINF:1.966667,",
        "00000000000000000000/000001.ts",
    ]


def test_fragmented_mp4_names_one_map_for_each_generation() -> None:
    playlist = add(
        Playlist.started_at(START, 1),
        *(segment(number, generation=1, mp4=True) for number in range(2)),
        *(segment(number, generation=2, mp4=True, first=number == 2) for number in range(2, 4)),
    )
    lines = playlist.text().splitlines()
    maps = [line for line in lines if line.startswith("#EXT-X-MAP")]
    assert maps == [f'#EXT-X-MAP:URI="{generation:020x}/init.mp4"' for generation in (1, 2)]
    assert lines[lines.index(maps[1]) - 1] == "#EXT-X-DISCONTINUITY"
    assert parse(playlist.text()) == playlist


def test_the_map_stays_when_the_head_of_its_generation_has_left() -> None:
    playlist = add(
        Playlist.started_at(START, 1),
        *(segment(number, mp4=True, first=number == 0) for number in range(KEEP + 3)),
    )
    assert '#EXT-X-MAP:URI="00000000000000000000/init.mp4"' in playlist.text()


def test_a_transport_stream_never_follows_a_map() -> None:
    playlist = add(
        Playlist.started_at(START, 1), segment(0, mp4=True, first=True), segment(1, generation=1)
    )
    assert [each.uri[-2:] for each in playlist.segments] == ["ts"]
    assert "EXT-X-MAP" not in playlist.text()


def test_what_is_no_longer_live_leaves_when_the_camera_comes_back() -> None:
    old = add(Playlist.started_at(START, 1), segment(0), segment(1))
    back = segment(int(STALE_SECONDS) + 3, generation=1, first=True)
    playlist = add(old, back)
    assert playlist.segments == (back,)
    assert playlist.media_sequence == old.media_sequence + 2


def test_a_short_pause_leaves_what_is_listed() -> None:
    old = add(Playlist.started_at(START, 1), segment(0), segment(1))
    playlist = add(old, segment(int(STALE_SECONDS), generation=1, first=True))
    assert len(playlist.segments) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "#EXTM3U\n",
        "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:5\n",
        Playlist(1, 1, 1, (segment(0),)).text()[:-1],
        Playlist(1, 1, 1, (segment(0),)).text().replace("#EXTINF:1.000000,", "#EXTINF:nan,"),
        Playlist(1, 1, 1, (segment(0),)).text().replace("000000.ts", "../../secret.ts"),
        Playlist(-1, 1, 1, (segment(0),)).text(),
        Playlist(1, 1, 1, (segment(0, mp4=True),)).text().replace('"000', '"/etc/000'),
    ],
)
def test_what_is_not_ours_is_not_carried_on(text: str) -> None:
    assert parse(text) is None


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    parse("#EXTM3U\n" + text)


@given(st.integers(0, 10 * 365 * 86400), st.integers(1, 10**6))
def test_a_fresh_start_is_above_all_that_was_counted_since_an_earlier_one(
    after_seconds: int, segments: int
) -> None:
    moment = START + timedelta(seconds=after_seconds)
    first = Playlist.started_at(moment, 1)
    again = Playlist.started_at(moment + timedelta(seconds=segments * 0.45 + 1), 1)
    assert again.media_sequence > first.media_sequence + segments
    assert again.discontinuity_sequence >= first.discontinuity_sequence + segments // 1500
    assert again.media_sequence < 2**31
    assert again.discontinuity_sequence < 10**6  # hls.js walks an array as long as this
