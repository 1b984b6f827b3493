"""The commit of a clip against a real object store: created once, adopted, never overwritten."""

import hashlib
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import av
import pytest

from archiver.clip import Clip
from archiver.commit import Committer, RangeTaken, identity_metadata
from archiver.workfolder import WorkFolder
from ingest.confirmation import Confirmation
from ingest.shelf import Shelf
from ingest.stored import STORED_NAME
from shared.config import ArchiveSettings
from shared.errors import StoreUnavailable
from shared.log import get_logger
from shared.manifest import MAX_MANIFEST_BYTES, Manifest, read_manifest
from shared.objectstore import ObjectStore
from tests.archiver_fragments import CAMERA, Recorded, footage, record
from tests.archiver_room import clip_of, committing
from tests.proxy import LossyProxy


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return footage(tmp_path_factory.mktemp("footage"), 4)


@pytest.fixture
def recorded(tmp_path: Path, source: Path) -> Recorded:
    return record(tmp_path / "frames", source)


@pytest.fixture
def store(archive_settings: ArchiveSettings) -> ObjectStore:
    return ObjectStore(archive_settings)


@pytest.fixture
def committer(tmp_path: Path, store: ObjectStore) -> Iterator[Committer]:
    with committing(tmp_path / "frames", store) as committer:
        yield committer


def keys(store: ObjectStore) -> set[str]:
    return {each.key for each in store.list("clips/")}


def stored_manifest(store: ObjectStore, clip: Clip) -> Manifest:
    body = store.read(clip.identity.manifest_key, MAX_MANIFEST_BYTES)
    assert body is not None
    return read_manifest(body)


def content(store: ObjectStore, key: str) -> bytes:
    data = store.read(key, 64 * 1024 * 1024)
    assert data is not None
    return data


def put(store: ObjectStore, clip: Clip, path: Path, sha256: str | None = None) -> None:
    """What a run that died left: the object without its manifest."""
    store.create_file(
        clip.identity.object_key("mp4"),
        path,
        sha256=sha256 or hashlib.sha256(path.read_bytes()).hexdigest(),
        content_type="video/mp4",
        metadata=identity_metadata(clip),
    )


def remuxed(recorded: Recorded, tmp_path: Path) -> Path:
    """The same frames as an MP4 of other bytes, as another version of ffmpeg might write it."""
    joined, path = tmp_path / "joined.ts", tmp_path / "other.mp4"
    joined.write_bytes(b"".join((recorded.root / f.path).read_bytes() for f in recorded.fragments))
    command = ["ffmpeg", "-v", "error", "-i", str(joined), "-c", "copy", "-metadata", "title=x"]
    subprocess.run([*command, str(path)], check=True, timeout=30)
    return path


def test_a_committed_clip_is_object_poster_and_manifest(
    recorded: Recorded, store: ObjectStore, committer: Committer, tmp_path: Path
) -> None:
    clip = clip_of(recorded, 0, 3)
    commit = committer.commit(clip)
    identity = clip.identity
    assert commit.outcome == "created"
    assert keys(store) == {
        identity.object_key("mp4"),
        identity.object_key("jpg"),
        identity.manifest_key,
    }
    manifest = stored_manifest(store, clip)
    assert manifest == commit.manifest
    data = content(store, manifest.object_key)
    assert hashlib.sha256(data).hexdigest() == manifest.sha256
    assert len(data) == manifest.bytes
    assert manifest.frames == manifest.probed_frames == 120
    assert [each.fragment for each in manifest.fragments] == [0, 1, 2, 3]
    found = store.stat(manifest.object_key)
    assert found is not None
    assert found.metadata["sha256"] == manifest.sha256
    assert found.metadata["epoch"] == recorded.epoch
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(data)
    with av.open(str(copy), "r") as container:
        assert sum(1 for _ in container.decode(video=0)) == 120


def test_ingest_believes_that_a_clip_is_stored_once_it_is_in_the_bucket(
    recorded: Recorded, store: ObjectStore, committer: Committer
) -> None:
    """Fragments of other clips that were named with it are not believed to be."""

    def stored() -> list[int]:
        there = Shelf(recorded.root, CAMERA).look()
        now = datetime.now(UTC)
        found = Confirmation(recorded.root, store, get_logger()).look(there, now)
        ages = [now - each.stored_at for each in found if each.stored_at is not None]
        assert all(timedelta() <= age < timedelta(minutes=10) for age in ages)
        return [each.number for each in found if each.stored]

    clip = clip_of(recorded, 1, 2)
    (recorded.root / CAMERA / recorded.epoch / STORED_NAME).write_text("0 3\n")
    assert stored() == []
    committer.commit(clip)
    assert stored() == [1, 2]


def test_a_clip_that_is_committed_is_not_made_again(
    recorded: Recorded, store: ObjectStore, committer: Committer
) -> None:
    clip = clip_of(recorded, 0, 3)
    first = committer.commit(clip)
    before = {key: content(store, key) for key in keys(store)}
    for fragment in clip.fragments:
        (recorded.root / fragment.path).unlink()
    again = committer.commit(clip)
    assert again.outcome == "already committed"
    assert again.manifest == first.manifest
    assert {key: content(store, key) for key in keys(store)} == before


def test_an_object_of_equal_bytes_without_manifest_is_adopted(
    recorded: Recorded, store: ObjectStore, committer: Committer, tmp_path: Path
) -> None:
    clip = clip_of(recorded, 0, 3)
    work = WorkFolder.open(tmp_path / "frames")
    with work.file("mp4") as path:
        put(store, clip, committer._converter.make(clip, path).path)
    work.close()
    assert committer.commit(clip).outcome == "adopted"
    assert store.stat(clip.identity.object_key("ts")) is None


def test_an_object_of_other_bytes_is_adopted_as_it_is_when_it_is_this_clip(
    recorded: Recorded, store: ObjectStore, committer: Committer, tmp_path: Path
) -> None:
    clip = clip_of(recorded, 0, 3)
    other = remuxed(recorded, tmp_path)
    put(store, clip, other)
    commit = committer.commit(clip)
    assert commit.outcome == "adopted"
    assert commit.manifest.sha256 == hashlib.sha256(other.read_bytes()).hexdigest()
    assert content(store, commit.manifest.object_key) == other.read_bytes()


@pytest.mark.parametrize("fault", ["identity", "bytes", "frames"])
def test_an_object_that_is_not_this_clip_keeps_its_key_and_ours_goes_beside_it(
    recorded: Recorded, store: ObjectStore, committer: Committer, tmp_path: Path, fault: str
) -> None:
    clip = clip_of(recorded, 0, 3)
    path = remuxed(recorded, tmp_path)
    if fault == "identity":
        key = clip.identity.object_key("mp4")
        store.create_bytes(key, path.read_bytes(), content_type="video/mp4")
    elif fault == "bytes":
        put(store, clip, path, sha256="0" * 64)
    else:
        short = tmp_path / "short.mp4"
        command = ["ffmpeg", "-v", "error", "-i", str(path), "-c", "copy", "-frames:v", "90"]
        subprocess.run([*command, str(short)], check=True, timeout=30)
        put(store, clip, short)
    before = content(store, clip.identity.object_key("mp4"))
    manifest = committer.commit(clip).manifest
    assert manifest.object_key == clip.identity.object_key("ts")
    assert manifest.probed_frames == 120
    assert "not this clip" in (manifest.reason or "")
    assert content(store, clip.identity.object_key("mp4")) == before


@pytest.mark.parametrize(("first", "last"), [(0, 1), (1, 3), (2, 2)])
def test_another_range_means_somebody_else_was_here(
    recorded: Recorded, store: ObjectStore, committer: Committer, first: int, last: int
) -> None:
    committer.commit(clip_of(recorded, first, last))
    before = keys(store)
    with pytest.raises(RangeTaken):
        committer.commit(clip_of(recorded, 0, 3))
    assert keys(store) == before


def test_a_manifest_of_another_range_that_appears_at_the_last_moment_wins(
    recorded: Recorded,
    store: ObjectStore,
    committer: Committer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other, clip = clip_of(recorded, 0, 1), clip_of(recorded, 0, 3)
    made = committer.commit(other).manifest
    monkeypatch.setattr(committer, "_committed", lambda _clip: None)
    with pytest.raises(RangeTaken):
        committer.commit(clip)
    assert stored_manifest(store, clip) == made


def test_a_worker_that_was_frozen_finds_out_before_its_manifest(
    recorded: Recorded, store: ObjectStore, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker commits a range that overlaps ours, while we upload."""
    upload = committer._upload

    def slow(*arguments: object) -> object:
        result = upload(*arguments)  # type: ignore[arg-type]
        monkeypatch.setattr(committer, "_upload", upload)
        committer.commit(clip_of(recorded, 1, 3))
        return result

    monkeypatch.setattr(committer, "_upload", slow)
    with pytest.raises(RangeTaken):
        committer.commit(clip_of(recorded, 0, 3))
    assert store.stat(clip_of(recorded, 0, 3).identity.manifest_key) is None


def test_a_manifest_that_arrives_behind_a_successors_is_taken_back(
    recorded: Recorded, store: ObjectStore, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first fragment is another, so their keys do not collide: it froze after its look."""
    successors, late = clip_of(recorded, 0, 3), clip_of(recorded, 3, 3)
    made = committer.commit(successors).manifest
    monkeypatch.setattr(committer, "_committed", lambda _clip: None)
    with pytest.raises(RangeTaken):
        committer.commit(late)
    assert stored_manifest(store, successors) == made
    assert store.stat(late.identity.manifest_key) is None


def test_a_store_that_is_down_costs_no_conversion(
    recorded: Recorded, archive_settings: ArchiveSettings
) -> None:
    nowhere = ObjectStore(archive_settings.model_copy(update={"endpoint": "http://127.0.0.1:9"}))
    with committing(recorded.root, nowhere) as committer:
        committer._converter.make = None  # type: ignore[method-assign,assignment]
        with pytest.raises(StoreUnavailable):
            committer.commit(clip_of(recorded, 0, 3))


@pytest.mark.parametrize("at", ["read", "create"])
def test_a_poster_that_must_wait_for_a_store_costs_no_second_upload(
    recorded: Recorded,
    store: ObjectStore,
    committer: Committer,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
) -> None:
    def away(*_: object, **__: object) -> NoReturn:
        raise StoreUnavailable("away for a moment")

    clip = clip_of(recorded, 0, 3)
    with monkeypatch.context() as patch:
        if at == "read":
            patch.setattr(committer._frames, "read", away)
        else:
            patch.setattr(store, "create_bytes", away)
        with pytest.raises(StoreUnavailable):
            committer.commit(clip)
        assert keys(store) == set()
    commit = committer.commit(clip)
    assert commit.outcome == "created"
    assert commit.manifest.poster_key in keys(store)


def test_clips_of_another_epoch_or_camera_are_nobodys_business(
    tmp_path: Path, source: Path, store: ObjectStore, committer: Committer
) -> None:
    for camera in (CAMERA, CAMERA, "camera-2"):
        recorded = record(tmp_path / "frames", source, camera=camera)
        assert committer.commit(clip_of(recorded, 0, 3)).outcome == "created"


@pytest.mark.parametrize("noise", [0, 100], ids=["one request", "in parts, over 5 MiB"])
@pytest.mark.parametrize("what", ["object", "manifest"])
def test_an_answer_lost_on_the_way_makes_no_second_clip(
    tmp_path_factory: pytest.TempPathFactory,
    archive_settings: ArchiveSettings,
    store: ObjectStore,
    noise: int,
    what: str,
) -> None:
    source = footage(tmp_path_factory.mktemp("footage"), 6, noise=noise)
    recorded = record(tmp_path_factory.mktemp("frames"), source)
    clip = clip_of(recorded, 0, 5)
    key = clip.identity.manifest_key if what == "manifest" else clip.identity.object_key("mp4")
    in_parts = bool(noise) and what == "object"
    server = urlsplit(archive_settings.endpoint)
    with LossyProxy(server.hostname or "", server.port or 0) as proxy:
        proxy.lose(f"POST .*{key}.*uploadId=" if in_parts else f"PUT .*{key}")
        endpoint = f"http://127.0.0.1:{proxy.port}"
        through = ObjectStore(archive_settings.model_copy(update={"endpoint": endpoint}))
        with committing(recorded.root, through) as committer:
            manifest = committer.commit(clip).manifest
        assert len(proxy.lost) == 1
    assert stored_manifest(store, clip) == manifest
    assert (manifest.bytes > 5 * 1024 * 1024) == bool(noise)
    assert hashlib.sha256(content(store, manifest.object_key)).hexdigest() == manifest.sha256
    assert len([each for each in keys(store) if each.endswith((".mp4", ".ts"))]) == 1
