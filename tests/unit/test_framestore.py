"""The frame store's reader: exactly the bytes asked for, or an error that says why not."""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadFragment, BadMessage, FragmentGone, Unavailable
from shared.framestore import INDEX_NAME, FrameReader, parse_index
from shared.identity import fragment_path, new_epoch
from shared.messages import EpochEnd, Fragment, StreamParameters

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCH = "019ca9450a0012345678"
STREAM = StreamParameters(
    video_codec="h264", width=320, height=180, frames_per_second=30, audio_codec=None
)
PATH = fragment_path("camera-1", EPOCH, 0)
DATA = bytes(range(256)) * 8


def fragment(number: int, epoch: str = EPOCH) -> Fragment:
    return Fragment(
        camera="camera-1",
        epoch=epoch,
        fragment=number,
        path=fragment_path("camera-1", epoch, number),
        bytes=188,
        frames=1,
        captured_at=NOON + timedelta(seconds=number),
        duration_seconds=1,
        key_frame_bytes=188,
        stream=STREAM,
    )


END = EpochEnd(camera="camera-1", epoch=EPOCH, fragments=3, ended_at=NOON, reason="it is over")
LINES = [fragment(number).to_body() + b"\n" for number in range(3)]


@pytest.fixture
def store(tmp_path: Path) -> FrameReader:
    (tmp_path / PATH).parent.mkdir(parents=True)
    (tmp_path / PATH).write_bytes(DATA)
    return FrameReader(tmp_path)


def test_exactly_the_bytes_asked_for_are_read(store: FrameReader) -> None:
    assert store.read(PATH, 0, len(DATA)) == DATA
    assert store.read(PATH, 100, 7) == DATA[100:107]


def test_a_file_that_ends_too_early_is_a_bad_fragment(store: FrameReader) -> None:
    with pytest.raises(BadFragment, match="ends at 2048"):
        store.read(PATH, 0, len(DATA) + 1)


def test_a_deleted_fragment_is_gone(store: FrameReader) -> None:
    with pytest.raises(FragmentGone):
        store.read(fragment_path("camera-1", EPOCH, 1), 0, 1)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../" + PATH,
        f"camera-1/../{PATH}",
        PATH + "\n",
        PATH + "\0",
        PATH.replace("000000", "０００００１"),
        PATH.replace(".ts", ".jsonl"),
        f"camera-1/{EPOCH}/{INDEX_NAME}",
    ],
)
def test_a_path_of_another_form_is_refused(store: FrameReader, path: str) -> None:
    with pytest.raises(BadMessage):
        store.read(path, 0, 1)


def test_a_link_is_not_followed(store: FrameReader, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(DATA)
    path = fragment_path("camera-1", EPOCH, 5)
    (tmp_path / path).symlink_to(secret)
    with pytest.raises(BadFragment, match="cannot be opened"):
        store.read(path, 0, 1)


def test_the_kernel_copies_what_fits_into_a_pipe(store: FrameReader) -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    try:
        assert store.copy_to(PATH, 8, 1000, writing) == 1000
        assert os.read(reading, 2000) == DATA[8:1008]
        with pytest.raises(BlockingIOError):
            while True:
                store.copy_to(PATH, 0, len(DATA), writing)
    finally:
        os.close(reading)
        os.close(writing)


def test_nothing_is_copied_of_a_fragment_that_is_too_short(store: FrameReader) -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    with pytest.raises(BadFragment):
        store.copy_to(PATH, 0, len(DATA) + 1, writing)
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_many_threads_may_read_at_once(store: FrameReader) -> None:
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.append(store.read(PATH, 0, len(DATA)) == DATA))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


def test_cameras_and_epochs_are_listed_sorted_without_strangers(tmp_path: Path) -> None:
    later = new_epoch(NOON + timedelta(hours=1))
    for folder in ("b", "a", f"a/{later}", f"a/{EPOCH}", "a/lost+found", "Strange", ".tmp"):
        (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / "c").write_text("a file")
    reader = FrameReader(tmp_path)
    assert reader.cameras() == ["a", "b"]
    assert reader.epochs("a") == [EPOCH, later]
    assert reader.epochs("nobody") == []


def test_an_epoch_without_an_index_is_empty(store: FrameReader) -> None:
    index = store.closed("camera-1", EPOCH)
    assert (index.fragments, index.end, index.bytes, index.torn) == ((), None, 0, False)


def test_an_index_that_cannot_be_read_is_not_an_empty_one(
    store: FrameReader, tmp_path: Path
) -> None:
    (tmp_path / "camera-1" / EPOCH / INDEX_NAME).mkdir()
    with pytest.raises(Unavailable):
        store.closed("camera-1", EPOCH)


def test_an_index_is_read_to_its_end() -> None:
    data = b"".join(LINES) + END.to_body() + b"\n"
    index = parse_index(data)
    assert [each.fragment for each in index.fragments] == [0, 1, 2]
    assert (index.end, index.bytes, index.torn) == (END, len(data), False)


@given(st.integers(min_value=0, max_value=len(b"".join(LINES))))
def test_a_torn_index_is_read_up_to_its_last_whole_line(cut: int) -> None:
    data = b"".join(LINES)[:cut]
    index = parse_index(data)
    whole = data.count(b"\n")
    assert len(index.fragments) == whole
    assert index.bytes == sum(len(line) for line in LINES[:whole])
    assert index.torn == (index.bytes != cut)


@pytest.mark.parametrize(
    ("break_it", "good"),
    [
        (lambda: LINES[0] + LINES[2], 1),
        (lambda: LINES[1], 0),
        (lambda: LINES[0] + fragment(1, new_epoch(NOON)).to_body() + b"\n", 1),
        (lambda: LINES[0] + LINES[0], 1),
        (lambda: LINES[0] + b"\n" + LINES[1], 1),
        (lambda: LINES[0] + LINES[1].replace(b'"schema":1', b'"schema":2'), 1),
    ],
    ids=["hole", "no beginning", "another epoch", "twice", "empty line", "another schema"],
)
def test_an_index_is_believed_only_as_far_as_it_makes_sense(
    break_it: Callable[[], bytes], good: int
) -> None:
    index = parse_index(break_it())
    assert len(index.fragments) == good
    assert index.torn


def test_what_stands_behind_the_end_is_not_of_the_epoch() -> None:
    index = parse_index(LINES[0] + END.to_body() + b"\n" + LINES[1])
    assert (len(index.fragments), index.end, index.torn) == (1, END, True)


@given(st.lists(st.sampled_from([*LINES, b"\n", b"{}", b"\r", b"\xff"]) | st.binary(max_size=40)))
def test_a_garbage_index_never_breaks_its_reader(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    index = parse_index(data)
    assert index.bytes <= len(data)
    assert [each.fragment for each in index.fragments] == list(range(len(index.fragments)))
    assert parse_index(data[: index.bytes]).fragments == index.fragments
