"""When a segment counts as published."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.playlists import PlaylistWatch, named_segments
from tests.support import eventually

HEAD = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:4\n"


def publish(folder: Path, *names: str) -> None:
    """Replace the playlist, as encoders do."""
    for name in names:
        (folder / name).write_text(name)
    beside = folder / "index.m3u8.tmp"
    beside.write_text(HEAD + "".join(f"#EXTINF:1.000000,\n{name}\n" for name in names))
    beside.replace(folder / "index.m3u8")


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[PlaylistWatch]:
    """Looks at the playlist of camera 3 in the test's folder."""
    watch = PlaylistWatch({3: tmp_path / "index.m3u8"}, tmp_path / "kept")
    watch.start()
    yield watch
    watch.stop()


def test_segments_are_read_with_their_durations() -> None:
    text = HEAD + "#EXT-X-PROGRAM-DATE-TIME:x\n#EXTINF:1.5,\na/1.ts\n#EXTINF:0.9,title\nb.ts\n"
    assert named_segments(text) == [("a/1.ts", 1.5), ("b.ts", 0.9)]


def test_a_segment_is_published_once_when_the_playlist_that_names_it_first_is_in_place(
    tmp_path: Path, watch: PlaylistWatch
) -> None:
    before = time.time_ns() - 10_000_000  # the kernel's tick may be so old
    publish(tmp_path, "1.ts")
    after = time.time_ns()
    eventually(lambda: len(watch.publications) == 1, 5)
    publish(tmp_path, "1.ts", "2.ts")
    eventually(lambda: len(watch.publications) == 2, 5)
    first, second = watch.publications
    assert before <= first.published_ns <= after < second.published_ns
    assert (first.camera, watch.published()) == (3, 2)


def test_kept_segments_outlive_their_encoder(tmp_path: Path, watch: PlaylistWatch) -> None:
    publish(tmp_path, "1.ts")
    eventually(lambda: watch.publications, 5)
    watch.keep()
    publish(tmp_path, "2.ts")
    eventually(lambda: len(watch.publications) == 2, 5)
    (tmp_path / "2.ts").unlink()
    early, kept = watch.publications
    assert early.file is None
    assert kept.file is not None
    assert kept.file.read_text() == "2.ts"


def test_a_segment_that_is_not_there_is_not_kept(tmp_path: Path, watch: PlaylistWatch) -> None:
    watch.keep()
    beside = tmp_path / "beside"
    beside.write_text(HEAD + "#EXTINF:1,\nmissing.ts\n")
    beside.replace(tmp_path / "index.m3u8")
    eventually(lambda: watch.publications, 5)
    assert watch.publications[0].file is None
