"""A frame store that is a bucket, on a real S3 server."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.bucketframes import BucketFrames
from shared.bucketplace import BucketPlace
from shared.config import ArchiveSettings
from shared.errors import (
    AlreadyExists,
    BadFragment,
    BadMessage,
    FragmentGone,
    Misconfigured,
    StoreUnavailable,
)
from shared.identity import fragment_path, new_epoch
from shared.messages import EpochEnd, Fragment, StreamParameters
from shared.objectstore import PART_BYTES
from tests.proxy import LossyProxy

CAMERA = "camera-1"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCH = new_epoch(NOON)
STREAM = StreamParameters(
    video_codec="h264", width=64, height=64, frames_per_second=30, audio_codec="aac"
)


@pytest.fixture
def frames(archive_settings: ArchiveSettings) -> BucketFrames:
    return BucketFrames(archive_settings, BucketPlace(archive_settings.bucket, "nursery/"))


def fragment(number: int, size: int) -> Fragment:
    return Fragment(
        camera=CAMERA,
        epoch=EPOCH,
        fragment=number,
        path=fragment_path(CAMERA, EPOCH, number),
        bytes=size,
        frames=30,
        captured_at=NOON + timedelta(seconds=number, microseconds=123_457),
        duration_seconds=1.0000001,
        key_frame_bytes=100,
        stream=STREAM,
    )


def end(fragments: int, reason: str = "ingest was stopped") -> EpochEnd:
    return EpochEnd(camera=CAMERA, epoch=EPOCH, fragments=fragments, ended_at=NOON, reason=reason)


def put(frames: BucketFrames, count: int) -> list[tuple[Fragment, bytes]]:
    made = [(fragment(number, 3000), os.urandom(3000)) for number in range(count)]
    for record, data in made:
        frames.put(record, data)
    return made


def test_one_request_both_stores_a_fragment_and_closes_it(frames: BucketFrames) -> None:
    made = put(frames, 3)
    assert frames.cameras() == [CAMERA]
    assert frames.epochs(CAMERA) == [EPOCH]
    index = frames.closed(CAMERA, EPOCH)
    assert list(index.fragments) == [record for record, _ in made]
    assert index.end is None
    for record, data in made:
        assert frames.read(record.path, 0, record.bytes) == data
        assert frames.read(record.path, 1000, 500) == data[1000:1500]
    paths = [record.path for record, _ in made]
    assert frames.sizes([*paths, fragment_path(CAMERA, EPOCH, 7)]) == [3000, 3000, 3000, None]
    assert frames.sizes(paths[:1]) == [3000]
    assert frames.used_bytes() == 9000


def test_a_fragment_of_any_size_is_one_request(
    frames: BucketFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody aborts the parts of who was killed."""
    monkeypatch.setattr(frames.store._client, "_create_multipart_upload", None)
    record = fragment(0, PART_BYTES + 1)
    frames.put(record, bytes(record.bytes))
    assert frames.sizes([record.path]) == [PART_BYTES + 1]


def test_other_bytes_never_replace_a_fragment(frames: BucketFrames) -> None:
    ((record, data),) = put(frames, 1)
    frames.put(record, data)  # what is sent again after a lost answer
    with pytest.raises(AlreadyExists):
        frames.put(record, os.urandom(3000))
    assert frames.read(record.path, 0, 3000) == data


def test_a_put_that_was_not_answered_is_done_again_and_not_looked_after(
    archive_settings: ArchiveSettings,
) -> None:
    """Whoever uploads has no time to look; that it is there, the next try finds out."""
    where = urlsplit(archive_settings.endpoint)
    with LossyProxy(where.hostname or "", where.port or 0) as proxy:
        settings = archive_settings.model_copy(
            update={"endpoint": f"http://127.0.0.1:{proxy.port}"}
        )
        frames = BucketFrames(settings, BucketPlace(archive_settings.bucket, "nursery/"), retries=0)
        record, data = fragment(0, 3000), os.urandom(3000)
        proxy.lose("PUT")
        with pytest.raises(StoreUnavailable):
            frames.put(record, data)
        assert len(proxy.requests) == 1
        frames.put(record, data)
        assert frames.read(record.path, 0, 3000) == data


def test_an_end_that_was_not_true_is_followed_by_another(frames: BucketFrames) -> None:
    put(frames, 3)
    frames.put_end(end(2, "its host was away"))
    assert frames.closed(CAMERA, EPOCH).end == end(2, "its host was away")
    frames.put_end(end(3))
    frames.put_end(end(3, "somebody else closed it as well"))
    assert frames.closed(CAMERA, EPOCH).end == end(3)


def test_what_is_known_is_not_described_again(
    frames: BucketFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = put(frames, 4)
    asked: list[str] = []
    stat = frames.store.stat

    def counted(key: str) -> Any:
        asked.append(key)
        return stat(key)

    monkeypatch.setattr(frames.store, "stat", counted)
    index = frames.closed(CAMERA, EPOCH, {0, 1, 2})
    assert index.fragments == (made[3][0],)
    assert index.apart == {0, 1, 2}
    assert len(asked) == 1


def test_what_is_not_as_it_should_be_is_told_apart(frames: BucketFrames) -> None:
    ((record, _),) = put(frames, 1)
    with pytest.raises(FragmentGone):
        frames.read(fragment_path(CAMERA, EPOCH, 5), 0, 10)
    with pytest.raises(FragmentGone):
        frames.copy_to(fragment_path(CAMERA, EPOCH, 5), 0, 10, 1)
    for offset, length in ((2900, 200), (3001, 5)):
        with pytest.raises(BadFragment):
            frames.read(record.path, offset, length)
    with pytest.raises(BadMessage):
        frames.read("../clips/camera-1/secret", 0, 10)


def test_foreign_objects_harm_nobody(frames: BucketFrames) -> None:
    ((record, _),) = put(frames, 1)
    prefix = f"nursery/{CAMERA}/{EPOCH}"
    for key in (f"{prefix}/000001.ts", f"{prefix}/notes.txt", f"{prefix}/end-000009.json"):
        frames.store.create_bytes(key, b"put here by hand", content_type="text/plain")
    frames.store.create_bytes(
        f"{prefix}/000002.ts", b"x", content_type="text/plain", metadata={"record": "e30="}
    )
    frames.store.create_bytes("nursery/Not A Camera/x", b"x", content_type="text/plain")
    assert frames.cameras() == [CAMERA]
    index = frames.closed(CAMERA, EPOCH)
    assert index.fragments == (record,)
    assert index.end is None


def test_a_fragment_goes_into_a_pipe_bit_by_bit(frames: BucketFrames) -> None:
    size = 300_000
    record, data = fragment(0, size), os.urandom(size)
    frames.put(record, data)
    out, into = os.pipe()
    os.set_blocking(into, False)
    got, offset = b"", 0
    while offset < size:
        try:
            offset += frames.copy_to(record.path, offset, size - offset, into)
        except BlockingIOError:
            got += os.read(out, 65536)
    os.close(into)
    while rest := os.read(out, 65536):
        got += rest
    os.close(out)
    assert got == data


def test_a_bucket_that_is_missing_is_named_by_its_key(archive_settings: ArchiveSettings) -> None:
    frames = BucketFrames(archive_settings, BucketPlace("nowhere-to-be-found", ""))
    with pytest.raises(Misconfigured, match=r"^frames\.url: the object store .* has no bucket"):
        frames.put(fragment(0, 10), bytes(10))
