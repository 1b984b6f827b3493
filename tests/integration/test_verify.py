"""`cradle verify` on a real bucket: each kind of damage is found, and nothing else is called so."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import av
import pytest
import yaml

from archiver.clip import Made
from archiver.commit import Committer
from deploy.command.main import main
from deploy.command.verify import DAMAGED_EXIT
from shared.clock import SimulatedClock
from shared.config import ArchiveSettings, Settings
from shared.manifest import Manifest
from shared.objectstore import ObjectStore
from tests.archiver_fragments import CAMERA, Recorded, footage, record
from tests.archiver_room import an_hour_ago, clip_of, committing

CLIPS = ((0, 2), (3, 5), (6, 8))


class Archive:
    """Three clips of one epoch, a configuration, and the command."""

    def __init__(self, folder: Path, settings: ArchiveSettings, capture: Any) -> None:
        self.store = ObjectStore(settings)
        self._capture = capture
        self._folder = folder
        content = {
            "archive": {
                **settings.model_dump(include={"endpoint", "access_key", "bucket"}),
                "secret_key": settings.secret_key.get_secret_value(),
            },
            "cameras": [{"id": CAMERA, "source": "test:"}],
        }
        self.file = folder / "cradle.yaml"
        self.file.write_text(yaml.safe_dump(content), encoding="utf-8")
        self.file.chmod(0o600)
        self.recorded = record(
            folder / "frames", footage(folder.parent, 9), starts_at=an_hour_ago()
        )
        self.clips = [self.commit(self.recorded, *each) for each in CLIPS]

    def commit(self, recorded: Recorded, first: int, last: int) -> Manifest:
        with committing(self._folder / "frames", self.store) as committer:
            commit = Committer.commit(committer, clip_of(recorded, first, last))
        return commit.manifest

    def verify(self, *words: str, code: int = 0) -> str:
        command = ["verify", "--config", str(self.file), *(words or ("--all",))]
        self._capture.readouterr()  # what the commits have said
        found = main(command)
        out, err = self._capture.readouterr()
        assert found == code, out + err
        return str(out + err)

    def damages(self, *words: str) -> dict[str, str]:
        """By the key of the manifest."""
        said = self.verify("--all", "--json", *words, code=DAMAGED_EXIT)
        found: dict[str, list[str]] = {}
        for each in json.loads(said)["damaged"]:
            found.setdefault(each["key"], []).extend(each["words"])
        return {key: "; ".join(words) for key, words in found.items()}

    def change(self, clip: Manifest, change: Callable[[bytes], bytes]) -> None:
        """Somebody has written the object anew."""
        path = self._folder / "changed"
        path.unlink(missing_ok=True)
        self.store.download(clip.object_key, path)
        content = change(path.read_bytes())
        self.store.remove(clip.object_key)
        self.store.create_bytes(clip.object_key, content, content_type="video/mp4")

    def put_manifest(self, clip: Manifest, *, key: str | None = None, **changes: Any) -> None:
        """Write a clip's manifest anew, as a fault of Cradle's would have."""
        key = key or clip.identity.manifest_key
        self.store.remove(key)
        body = clip.model_copy(update=changes).to_body()
        self.store.create_bytes(key, body, content_type="application/json")

    def replace(self, clip: Manifest, media: Path, **changes: Any) -> None:
        """Other bytes, with a manifest that says so: what a wrong conversion would have made."""
        content = media.read_bytes()
        self.change(clip, lambda _: content)
        sha256 = hashlib.sha256(content).hexdigest()
        self.put_manifest(clip, bytes=len(content), sha256=sha256, **changes)


@pytest.fixture
def archive(
    tmp_path: Path, archive_settings: ArchiveSettings, capsys: pytest.CaptureFixture[str]
) -> Archive:
    return Archive(tmp_path, archive_settings, capsys)


def test_clips_that_are_as_their_manifests_say(archive: Archive) -> None:
    said = archive.verify("--all", "--decode")
    assert said.startswith("3 clips of 1 camera, 0.00 GB, 270 frames: all as their manifests say")
    day = archive.clips[0].starts_at.astimezone(Settings().zone).date()
    assert archive.verify("--camera", CAMERA, "--date", str(day)).startswith("3 clips")
    assert archive.verify("--date", str(day - timedelta(days=1))).endswith("nothing to verify\n")


def test_without_a_date_it_is_the_clips_of_today(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimulatedClock(archive.clips[-1].ends_at)
    monkeypatch.setattr("deploy.command.verify.SystemClock", lambda: clock)
    assert archive.verify("--camera", CAMERA).startswith("3 clips")
    clock.advance(timedelta(days=1).total_seconds())
    assert archive.verify("--camera", CAMERA).endswith("nothing to verify\n")


def test_original_bytes_that_were_kept_are_verified_too(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = record(
        archive._folder / "frames",
        footage(archive._folder.parent, 9),
        starts_at=an_hour_ago() + timedelta(minutes=20),
    )
    with monkeypatch.context() as without_ffmpeg:
        without_ffmpeg.setattr("shared.child.shutil.which", lambda *_, **__: None)
        kept = archive.commit(recorded, 0, 2)
    assert kept.container == "ts"
    assert archive.verify("--all", "--decode").startswith("4 clips")
    archive.change(kept, lambda content: content[:-188] + bytes(188))
    assert "SHA-256" in archive.damages()[kept.identity.manifest_key]


def test_a_flipped_bit_is_found(archive: Archive) -> None:
    def flip(content: bytes) -> bytes:
        middle = len(content) // 2
        return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]

    archive.change(archive.clips[1], flip)
    assert list(archive.damages()) == [archive.clips[1].identity.manifest_key]
    assert "its SHA-256 is" in archive.damages()[archive.clips[1].identity.manifest_key]


def test_a_clip_that_is_cut_short_is_found_without_a_download(archive: Archive) -> None:
    archive.change(archive.clips[0], lambda content: content[:-1])
    size = archive.clips[0].bytes
    assert archive.damages() == {
        archive.clips[0].identity.manifest_key: f"it has {size - 1} bytes and not {size}"
    }


def test_a_clip_that_is_gone_is_found(archive: Archive) -> None:
    archive.store.remove(archive.clips[2].object_key)
    (words,) = archive.damages().values()
    assert words.endswith("is gone")


def test_what_is_no_video_is_found(archive: Archive, tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(bytes(4096))
    archive.replace(archive.clips[0], junk)
    assert "cannot be read" in archive.damages()[archive.clips[0].identity.manifest_key]


def remuxed(archive: Archive, clip: Manifest, change: Callable[[list[Any]], list[Any]]) -> Path:
    """The clip's video packets, changed, as an MP4."""
    source, target = archive._folder / "source.mp4", archive._folder / "target.mp4"
    source.unlink(missing_ok=True)
    archive.store.download(clip.object_key, source)
    with av.open(str(source), "r") as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        packets = [each for each in reader.demux(reader.streams.video[0]) if each.size]
        for packet in change(packets):
            packet.stream = stream
            writer.mux(packet)
    return target


def test_a_frame_that_is_missing_is_found(archive: Archive) -> None:
    clip = archive.clips[0]
    archive.replace(clip, remuxed(archive, clip, lambda packets: packets[:-1]))
    assert archive.damages()[clip.identity.manifest_key] == "89 frames are in it and not 90"


def test_a_clip_that_does_not_begin_with_a_key_frame_is_found(archive: Archive) -> None:
    clip = archive.clips[0]
    archive.replace(clip, remuxed(archive, clip, lambda packets: packets[1:]))
    assert "key frame" in archive.damages()[clip.identity.manifest_key]


def test_a_picture_that_cannot_be_decoded_is_found_by_decoding(archive: Archive) -> None:
    clip = archive.clips[0]

    def spoil(content: bytes) -> bytes:
        """Zeroes in the middle of the pictures, behind the header and the first of them."""
        start = content.index(b"mdat") + (len(content) - content.index(b"mdat")) // 3
        return content[:start] + bytes(20_000) + content[start + 20_000 :]

    spoiled = archive._folder / "spoiled.mp4"
    source = archive._folder / "whole.mp4"
    archive.store.download(clip.object_key, source)
    spoiled.write_bytes(spoil(source.read_bytes()))
    archive.replace(clip, spoiled)
    assert archive.verify("--all").endswith("all as their manifests say\n")
    words = archive.damages("--decode")[clip.identity.manifest_key]
    assert "decoded" in words or "cannot be read" in words


def test_a_clip_of_another_length_is_found(archive: Archive) -> None:
    clip = archive.clips[0]
    archive.put_manifest(clip, ends_at=clip.ends_at + timedelta(seconds=5))
    assert archive.damages()[clip.identity.manifest_key] == "it is 3.0 s long and not 8.0 s"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 640, "height": 360}, "its pictures are 320x180 and not 640x360"),
        ({"video_codec": "hevc"}, "its video is h264 and not hevc"),
    ],
)
def test_another_stream_is_found(archive: Archive, change: dict[str, Any], words: str) -> None:
    clip = archive.clips[0]
    archive.put_manifest(clip, stream=clip.stream.model_copy(update=change))
    assert archive.damages()[clip.identity.manifest_key] == words


def test_two_clips_with_one_fragment_are_found(archive: Archive) -> None:
    """As no archiver does: it refuses to commit what is committed."""
    first = archive.clips[0]
    twice = clip_of(archive.recorded, 2, 3).manifest(
        Made("mp4", None, first.bytes, first.sha256, 60), None, first.created_at
    )
    archive.store.create_bytes(twice.object_key, b"?", content_type="video/mp4")
    archive.put_manifest(twice)
    found = archive.damages()
    assert "fragments 2-2 are in" in found[twice.identity.manifest_key]
    assert "fragments 3-3 are in" in found[archive.clips[1].identity.manifest_key]


def test_a_manifest_that_cannot_be_read_is_damage_and_its_object_no_leftover(
    archive: Archive,
) -> None:
    key = archive.clips[0].identity.manifest_key
    archive.store.remove(key)
    archive.store.create_bytes(key, b"{", content_type="application/json")
    said = json.loads(archive.verify("--all", "--json", code=DAMAGED_EXIT))
    assert said["damaged"][0]["words"][0].startswith("the manifest cannot be read")
    assert said["leftovers"] == []


def test_a_manifest_under_another_clips_key_is_damage(archive: Archive) -> None:
    key = archive.clips[0].identity.manifest_key
    archive.put_manifest(archive.clips[1], key=key)
    assert "it is the manifest of" in archive.damages()[key]


def test_leftovers_and_strangers_are_named_and_are_no_damage(archive: Archive) -> None:
    stranger = f"clips/{CAMERA}/notes.txt"
    archive.store.create_bytes(stranger, b"hello", content_type="text/plain")
    archive.store.remove(archive.clips[2].identity.manifest_key)
    said = json.loads(archive.verify("--all", "--json"))
    assert said["strangers"] == [stranger]
    assert archive.clips[2].object_key in said["leftovers"]
    shown = archive.verify("--all")
    assert stranger in shown
    assert "left by an interrupted commit" in shown


def test_a_sample_is_drawn_by_lot_and_can_be_drawn_again(archive: Archive) -> None:
    archive.store.remove(archive.clips[1].object_key)
    found = {
        seed: main(
            ["verify", "--config", str(archive.file), "--all", "--sample", "1", "--seed", str(seed)]
        )
        for seed in range(12)
    }
    assert set(found.values()) == {0, DAMAGED_EXIT}
    for seed, code in found.items():
        said = archive.verify("--all", "--sample", "1", "--seed", str(seed), code=code)
        assert f"1 clip of 3 (--seed {seed})" in said
    drawn = archive.verify("--all", "--sample", "3", code=DAMAGED_EXIT)
    assert "3 clips of 3" in drawn


def test_a_store_that_is_away_is_one_sentence(archive: Archive) -> None:
    content = yaml.safe_load(archive.file.read_text())
    content["archive"]["endpoint"] = "http://127.0.0.1:1"
    archive.file.write_text(yaml.safe_dump(content))
    said = archive.verify(code=1)
    assert said.startswith("cradle verify: ")
    assert said.count("\n") == 1
