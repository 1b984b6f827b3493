"""`cradle coverage` against a real bucket, written as ingest and the archiver write it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.command.main import main
from shared.config import ArchiveSettings
from shared.custody import write_custody
from shared.objectstore import ObjectStore
from tests.coverage_story import Story

MIDNIGHT = datetime(2026, 2, 28, 15, tzinfo=UTC)
"""Of 1 March 2026 in Seoul."""
DAY = "2026-03-01"
COMPLAINT = "broke off: Connection timed out"

Cradle = Callable[..., str]


def hours(count: float) -> datetime:
    return datetime.fromtimestamp(MIDNIGHT.timestamp() + count * 3600, UTC)


def put(store: ObjectStore, story: Story) -> None:
    """Write a story into the bucket."""
    for manifest in story.manifests:
        store.create_bytes(manifest.object_key, b"0" * manifest.bytes, content_type="video/mp4")
        store.create_bytes(
            manifest.identity.manifest_key, manifest.to_body(), content_type="application/json"
        )
    for record in story.records:
        write_custody(store, record)


@pytest.fixture
def store(archive_settings: ArchiveSettings) -> ObjectStore:
    return ObjectStore(archive_settings)


@pytest.fixture
def config_file(archive_settings: ArchiveSettings, tmp_path: Path) -> Path:
    content = {
        "timezone": "Asia/Seoul",
        "archive": {
            **archive_settings.model_dump(include={"endpoint", "access_key", "bucket"}),
            "secret_key": archive_settings.secret_key.get_secret_value(),
            "retention_days": 3650,
        },
        "cameras": [{"id": f"camera-{number}", "source": "test:"} for number in (1, 2)],
    }
    file = tmp_path / "cradle.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


@pytest.fixture
def cradle(config_file: Path, capsys: pytest.CaptureFixture[str]) -> Cradle:
    def run(*words: str, code: int = 0) -> str:
        found = main(["coverage", "--config", str(config_file), *words])
        captured = capsys.readouterr()
        assert found == code, captured.err
        assert len(captured.err.splitlines()) == (code != 0)
        return captured.out + captured.err

    return run


def facts(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    assert document["date"] == DAY
    (camera,) = document["cameras"]
    return dict(camera)


def causes(camera: dict[str, Any]) -> list[tuple[str, float]]:
    return [(each["cause"], each["seconds"]) for each in camera["missing"]]


def test_a_local_day_is_accounted_for_from_the_bucket_alone(
    store: ObjectStore, cradle: Cradle
) -> None:
    """Over two UTC days, begun in an epoch of the day before, with a clip over local midnight."""
    story = Story(clip_seconds=900)
    made = story.fragments(hours(-2), [10.0] * 3600)
    story.begin(made)
    story.store(each for each in made if not 2000 <= each.fragment < 2010)
    story.lose(made[2000:2010], "retention")
    story.end(made, COMPLAINT)
    late = story.fragments(hours(8.5), [10.0] * 6000)
    story.begin(late)
    story.store(late)
    put(store, story)

    camera = facts(cradle("--camera", "camera-1", "--date", DAY, "--json"))
    assert causes(camera) == [
        ("deleted before it was stored", 100.0),
        ("camera offline", 1800.0),
    ]
    assert camera["stored_seconds"] == 86_400 - 1900
    assert camera["captured_seconds"] == 86_400 - 1800
    assert camera["missing"][1]["reason"] == COMPLAINT

    line = cradle("--camera", "camera-1", "--date", DAY, "--line")
    assert line == (
        "camera-1 2026-03-01: 23 h 28 m 20 s stored, 31 m 40 s missing: "
        "camera offline 30 m, deleted before it was stored 1 m 40 s\n"
    )
    table = cradle("--camera", "camera-1", "--date", DAY)
    assert "08:00:00.000  08:30:00.000            30 m  camera offline: broke off" in table


def test_all_cameras_of_the_configuration_are_told_apart(
    store: ObjectStore, cradle: Cradle
) -> None:
    story = Story("camera-2", clip_seconds=900)
    made = story.fragments(hours(0), [60.0] * 1440)
    story.begin(made)
    story.store(made)
    put(store, story)
    assert cradle("--date", DAY, "--line").splitlines() == [
        f"camera-1 {DAY}: 0 s stored, 24 h missing: not yet recording 24 h",
        f"camera-2 {DAY}: 24 h stored, nothing missing",
    ]


def test_a_camera_away_for_weeks_is_explained_by_its_last_words(
    store: ObjectStore, cradle: Cradle
) -> None:
    story = Story(clip_seconds=900)
    made = story.fragments(hours(-24 * 40), [60.0] * 3)
    story.begin(made)
    story.store(made)
    story.end(made, COMPLAINT)
    put(store, story)
    camera = facts(cradle("--camera", "camera-1", "--date", DAY, "--json"))
    assert causes(camera) == [("camera offline", 86_400.0)]


def test_clips_and_records_that_cannot_be_read_are_named(
    store: ObjectStore, cradle: Cradle
) -> None:
    story = Story(clip_seconds=900)
    made = story.fragments(hours(0), [60.0] * 1440)
    story.begin(made)
    story.store(made)
    story.end(made, COMPLAINT)
    gone, short, torn, strange = story.manifests[10:14]
    put(store, story)
    store.remove(gone.object_key)
    store.remove(short.object_key)
    store.create_bytes(short.object_key, b"short", content_type="video/mp4")
    for manifest, body in (
        (torn, torn.to_body()[:-5]),
        (strange, story.manifests[20].to_body()),
    ):
        store.remove(manifest.identity.manifest_key)
        store.create_bytes(manifest.identity.manifest_key, body, content_type="application/json")
    damaged = f"custody/camera-1/2026/03/01/camera-1_{'20260301T000000000Z'}_x_begun.json"
    store.create_bytes(damaged, b"{}", content_type="application/json")

    camera = facts(cradle("--camera", "camera-1", "--date", DAY, "--json"))
    assert {cause for cause, _ in causes(camera)} == {"unreadable"}
    assert camera["missing_seconds"] == 4 * 900
    reasons = " ".join(each["reason"] for each in camera["missing"])
    assert f"{gone.identity.manifest_key} cannot be read: its object is not in the" in reasons
    assert camera["warnings"] == [
        f"{damaged} cannot be read: record: Unable to extract tag " + ("using discriminator 'kind'")
    ]
    assert "warning: custody/camera-1/" in cradle("--camera", "camera-1", "--date", DAY)


def test_what_is_not_cradle_s_in_the_bucket_is_passed_over(
    store: ObjectStore, cradle: Cradle
) -> None:
    for key in ("clips/camera-1/readme.txt", "clips/camera-1/2026/03/01/notes.json"):
        store.create_bytes(key, b"{}", content_type="text/plain")
    camera = facts(cradle("--camera", "camera-1", "--date", DAY, "--json"))
    assert causes(camera) == [("not yet recording", 86_400.0)]


def test_a_camera_that_left_the_configuration_is_still_accounted_for(
    store: ObjectStore, cradle: Cradle
) -> None:
    assert "neither in" in cradle("--camera", "old-room", "--date", DAY, code=2)
    story = Story("old-room", clip_seconds=900)
    made = story.fragments(hours(0), [60.0] * 1440)
    story.begin(made)
    story.store(made)
    put(store, story)
    assert "24 h stored" in cradle("--camera", "old-room", "--date", DAY, "--line")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--camera", "../etc"], "cannot be the id of a camera"),
        (["--date", "yesteryear"], "is not a day; write it as 2026-03-01"),
        (["--date", "2999-01-01"], "has not begun"),
        (["--data", "/nothing"], "cannot be read (No such file or directory); `cradle up --data"),
    ],
)
def test_bad_options_are_one_sentence(cradle: Cradle, words: list[str], sentence: str) -> None:
    assert sentence in cradle(*words, code=2)


def test_a_configuration_that_names_no_store_says_how_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CRADLE_ARCHIVE__ENDPOINT", raising=False)
    (tmp_path / "bare.yaml").write_text("archive: {}\n", encoding="utf-8")
    assert main(["coverage", "--config", str(tmp_path / "bare.yaml")]) == 2
    assert "archive.endpoint: is not given; name it, or add --data" in capsys.readouterr().err


def test_a_store_that_is_away_is_one_sentence(
    cradle: Cradle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRADLE_ARCHIVE__ENDPOINT", "http://127.0.0.1:9")
    assert "127.0.0.1:9" in cradle("--date", DAY, code=1)


def test_the_connections_of_a_running_house_are_taken_from_its_folder(
    store: ObjectStore,
    archive_settings: ArchiveSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its configuration does not say where the store is; `connections.env` does."""
    bare = tmp_path / "bare.yaml"
    bare.write_text("cameras: [{id: camera-1, source: 'test:'}]\n", encoding="utf-8")
    (tmp_path / "run").mkdir()
    names = ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY", "BUCKET")
    values = (
        archive_settings.endpoint,
        archive_settings.access_key,
        archive_settings.secret_key.get_secret_value(),
        archive_settings.bucket,
    )
    lines = []
    for name, value in zip(names, values, strict=True):
        monkeypatch.setenv(f"CRADLE_ARCHIVE__{name}", "x")  # so that it is put back after the test
        monkeypatch.delenv(f"CRADLE_ARCHIVE__{name}")
        lines.append(f"CRADLE_ARCHIVE__{name}={value}\n")
    (tmp_path / "run" / "connections.env").write_text("".join(lines), encoding="utf-8")
    words = ["coverage", "--config", str(bare), "--data", str(tmp_path), "--date", DAY, "--line"]
    assert main(words) == 0
    assert "not yet recording 24 h" in capsys.readouterr().out
