"""The page's API on a real broker and bucket: who may, what comes back, and what does not."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import yaml

from archiver.jobs import stored_event
from deploy.command.coverage import of_camera
from deploy.command.main import main
from shared.analysis import JudgedPicture, Measured, Result
from shared.clock import SystemClock
from shared.config import ArchiveSettings
from shared.coverage.localday import local_day
from shared.custody import EpochBegun, EpochEnded, write_custody
from shared.identity import day_prefix, stamp
from shared.link import Link
from shared.log import get_logger
from shared.manifest import Manifest
from shared.messages import Event, Stage
from shared.objectstore import ObjectStore
from shared.observation import Activity, Observation, Presence, View
from shared.topology import EVENTS
from tests.archiver_fragments import CAMERA, Recorded, record
from tests.archiver_room import an_hour_ago, clip_of, committing
from tests.line import decode_counters
from tests.services import BrokerService, StoreService
from tests.support import eventually
from tests.videos import Videos
from tests.viewer_house import PASSWORD, TOKEN, Person, Viewing, viewing
from viewer.application import VIEWS
from viewer.days import evidence
from viewer.guard import MOST_BODY_BYTES
from viewer.index import FILE, Index
from viewer.reading import Reading

CLIPS = ((0, 2), (3, 5), (6, 8))
RATE = 30


@dataclass
class House:
    """Three clips of one epoch, one note, and a viewer."""

    viewer: Viewing
    store: ObjectStore
    recorded: Recorded
    clips: list[Manifest]
    broker_url: str
    folder: Path

    def person(self, name: str = "watcher") -> Person:
        return self.viewer.person(name)

    def path(self, clip: Manifest, *more: str) -> str:
        return "/".join((f"/api/cameras/{CAMERA}/clips/{clip.epoch}/{clip.first}", *more))

    def day_path(self) -> str:
        local = self.clips[0].starts_at.astimezone(self.viewer.settings.zone).date()
        return f"/api/cameras/{CAMERA}/days/{local}"

    def until_read(self, clips: int = 3) -> dict[str, Any]:
        """The day, once so many clips are known."""
        somebody = self.person()

        def day() -> dict[str, Any] | None:
            found: dict[str, Any] = somebody.get(self.day_path())
            return found if len(found["clips"]) == clips else None

        found = eventually(day, 20, "the clips are in the index")
        assert found is not None
        return found

    def publish(self, event: Event) -> None:
        with Link(self.viewer.settings.broker.url, "test") as link:
            link.publish_and_wait(EVENTS, event.routing_key, event.to_body())


def note(store: ObjectStore, at: datetime, summary: str, activity: Activity) -> str:
    """A judged sample in the bucket; its key."""
    prefix = day_prefix("analysis", CAMERA, at)
    stem = f"{prefix}{CAMERA}_{stamp(at)}_test"
    result = Result(
        schema=1,
        camera=CAMERA,
        starts_at=at,
        ends_at=at + timedelta(seconds=60),
        judged_at=at + timedelta(seconds=61),
        judged_by="local",
        language="ko",
        heartbeat=False,
        observation=Observation(
            evidence="a picture",
            activity=activity,
            other_activity=None,
            adults=Presence.ONE,
            children=Presence.SEVERAL,
            summary=summary,
            view=View.CLEAR,
        ),
        measured=Measured(changed_share=0.1, brightness=100, spread=40, view=View.CLEAR),
        remote=None,
        pictures=[JudgedPicture(epoch="0" * 20, fragment=0, captured_at=at)],
        picture_key=f"{stem}.jpg",
        picture_at=at,
        worker="test",
        software="test",
    )
    store.create_bytes(f"{stem}.jpg", b"\xff\xd8 a picture", content_type="image/jpeg")
    store.create_bytes(f"{stem}.json", result.to_body(), content_type="application/json")
    return f"{stem}.json"


@contextmanager
def house(
    folder: Path, broker_url: str, archive: ArchiveSettings, video: Path, **sections: Any
) -> Iterator[House]:
    store = ObjectStore(archive)
    recorded = record(folder / "frames", video, starts_at=an_hour_ago())
    with committing(folder / "frames", store) as committer:
        clips = [committer.commit(clip_of(recorded, *each)).manifest for each in CLIPS]
    first = recorded.fragments[0]
    write_custody(store, EpochBegun(camera=CAMERA, epoch=first.epoch, stream=first.stream))
    write_custody(
        store,
        EpochEnded(
            camera=CAMERA,
            epoch=first.epoch,
            fragments=9,
            ended_at=recorded.fragments[8].ends_at,
            reason="broke off: Connection timed out",
        ),
    )
    note(store, clips[0].starts_at, "아이들이 블록을 쌓고 있습니다.", Activity.PLAYING)
    with viewing(folder, broker_url, archive, **sections) as viewer:
        yield House(viewer, store, recorded, clips, broker_url, folder)


@pytest.fixture(scope="module")
def here(
    tmp_path_factory: pytest.TempPathFactory,
    broker: BrokerService,
    store_service: StoreService,
    videos: Videos,
) -> Iterator[House]:
    """For tests that leave it as it is."""
    with (
        broker.virtual_host() as url,
        store_service.bucket() as archive,
        house(tmp_path_factory.mktemp("house"), url, archive, videos(".mp4", seconds=9)) as made,
    ):
        yield made


@pytest.fixture
def own(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings, videos: Videos
) -> Iterator[House]:
    with house(tmp_path, broker_url, archive_settings, videos(".mp4", seconds=9)) as made:
        yield made


# -- the door -------------------------------------------------------------------------------------


def test_nothing_but_the_entrance_answers_without_a_login(here: House) -> None:
    boss, anybody = here.person("boss"), here.viewer.anybody()
    described = boss.get("/api/openapi.json")
    calls = [
        (method.upper(), path) for path, methods in described["paths"].items() for method in methods
    ]
    assert len(calls) > 20
    for method, path in [*calls, ("GET", "/api/openapi.json"), ("GET", "/api/nothing")]:
        if (method, path) in {
            ("GET", "/api/entrance"),
            ("POST", "/api/session"),
            ("POST", "/api/setup"),
        }:
            continue
        filled = path.replace("{camera}", CAMERA).replace("{epoch}", "0" * 20)
        filled = filled.replace("{first}", "0").replace("{day}", "2026-03-01")
        answer = anybody.ask(method, filled)
        assert answer.status == 401, (method, path, answer)
        assert b"camera-1" not in answer.body
    for view in VIEWS:
        answer = anybody.ask("GET", view.replace("{camera}", CAMERA))
        if view in {"/login", "/setup"}:
            assert answer.status == 200
        else:
            assert (answer.status, answer.headers["location"]) == (303, "/login")


def test_every_answer_has_the_headers_that_keep_a_browser_safe(here: House) -> None:
    for who in (here.viewer.anybody(), here.person()):
        for path in ("/login", "/", "/api/session", "/assets/app.js", "/api/cameras", "/nowhere"):
            headers = who.ask("GET", path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "cache-control" in headers


def test_the_cookie_is_for_this_page_alone(here: House) -> None:
    cookie = here.viewer.anybody().log_in("watcher").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert "domain" not in cookie


def test_a_wrong_password_is_refused_and_soon_slowly(own: House) -> None:
    anybody = own.viewer.anybody()
    statuses = [anybody.log_in("watcher", "wrong password").status for _ in range(7)]
    assert statuses[:5] == [401] * 5
    assert statuses[-1] == 429
    assert anybody.log_in("watcher").status == 429, "the right one must wait as well"


def test_another_sites_page_can_change_nothing_and_log_nobody_in(own: House) -> None:
    watcher = own.person("boss")
    kept, watcher.token = watcher.token, ""
    hold = own.path(own.clips[0], "hold")
    own.until_read()
    assert watcher.ask("PUT", hold).status == 403
    assert watcher.ask("PUT", hold, x_csrf_token="0" * 64).status == 403
    assert watcher.ask("DELETE", "/api/session").status == 403
    assert watcher.ask("PUT", hold, x_csrf_token=kept).status == 204
    login = {"name": "watcher", "password": PASSWORD}
    anybody = own.viewer.anybody()
    for headers in ({"sec_fetch_site": "cross-site"}, {"origin": "http://evil.example"}):
        assert anybody.ask("POST", "/api/session", login, **headers).status == 403
    ours = {"origin": own.viewer.address}
    assert anybody.ask("POST", "/api/session", login, **ours).status == 200


def test_logging_out_ends_the_session_for_whoever_has_its_cookie(here: House) -> None:
    watcher = here.person()
    thief = Person(here.viewer.address, watcher.cookie)
    assert thief.ask("GET", "/api/session").status == 200
    assert watcher.ask("DELETE", "/api/session").status == 204
    assert thief.ask("GET", "/api/session").status == 401


def test_a_viewer_may_not_do_what_operators_may(here: House) -> None:
    here.until_read()
    span = f"/api/cameras/{CAMERA}/span?" + _span(here.clips[0].starts_at, here.clips[0].ends_at)
    calls = [
        ("PUT", here.path(here.clips[0], "hold")),
        ("DELETE", here.path(here.clips[0], "hold")),
        ("GET", here.path(here.clips[0], "download")),
        ("GET", span),
        ("GET", "/api/system"),
    ]
    watcher, boss = here.person("watcher"), here.person("boss")
    for method, path in calls:
        assert watcher.ask(method, path).status == 403, path
        assert boss.ask(method, path).status in {200, 204}, path


def test_the_first_user_is_made_with_the_token_and_only_then(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings
) -> None:
    with viewing(tmp_path, broker_url, archive_settings, has_users=False) as viewer:
        anybody = viewer.anybody()
        assert anybody.get("/api/entrance") == {"needs_setup": True}
        given = {"name": "원장", "password": PASSWORD, "token": "wrong"}
        assert anybody.ask("POST", "/api/setup", given).status == 403
        good = {**given, "token": TOKEN}
        assert anybody.ask("POST", "/api/setup", {**good, "password": "short"}).status == 422
        made = anybody.ask("POST", "/api/setup", good)
        assert (made.status, made.json["role"]) == (200, "operator")
        assert anybody.ask("POST", "/api/setup", {**good, "name": "thief"}).status == 409
        assert viewer.anybody().log_in("원장").status == 200
        assert anybody.get("/api/entrance") == {"needs_setup": False}


@pytest.mark.parametrize(
    "path",
    [
        "/api/cameras/..%2f..%2fetc/live/index.m3u8",
        f"/api/cameras/{CAMERA}/live/..%2f..%2f..%2fcradle.yaml/index.m3u8",
        f"/api/cameras/{CAMERA}/live/0/../../../users.json",
        f"/api/cameras/{CAMERA}/live/{'0' * 20}/..%2findex.m3u8",
        f"/api/cameras/{CAMERA}/live/{'0' * 20}/000001.ts%00.m3u8",
        "/assets/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2fpyproject.toml",
        "/assets/%2e%2e/index.html",
        "/api/notes/picture?key=clips/camera-1/secret",
        f"/api/cameras/{CAMERA}/clips/{'0' * 20}/99999999999999999999/video",
        f"/api/cameras/{CAMERA}/days/9999-99-99",
        f"/api/cameras/{CAMERA}/days/9999-12-31",
        f"/api/cameras/{CAMERA}/days/0001-01-01",
        "/api/cameras/nobody/days/2026-03-01",
    ],
)
def test_paths_that_lead_elsewhere_lead_nowhere(here: House, path: str) -> None:
    (here.folder / "live" / CAMERA).mkdir(parents=True, exist_ok=True)
    answer = here.person("boss").ask("GET", path)
    assert answer.status in {404, 422}, answer


def test_a_link_in_the_live_folder_shows_nothing_that_lies_elsewhere(here: House) -> None:
    folder = here.folder / "live" / CAMERA / ("0" * 20)
    folder.mkdir(parents=True)
    (folder / "000001.ts").symlink_to(here.folder / "viewer" / "users.json")
    answer = here.person().ask("GET", f"/api/cameras/{CAMERA}/live/{'0' * 20}/000001.ts")
    assert answer.status == 404
    assert b"argon2" not in answer.body


def test_requests_that_are_too_large_are_refused_unread(here: House) -> None:
    anybody = here.viewer.anybody()
    large = b"x" * (MOST_BODY_BYTES + 1)
    assert anybody.ask("POST", "/api/session", large).status == 413
    host = urlsplit(here.viewer.address)
    with socket.create_connection((host.hostname or "", host.port or 0), 10) as connection:
        connection.sendall(
            b"POST /api/session HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"10000\r\n"
            + b"x" * 0x10000
            + b"\r\n10000\r\n"
            + b"x" * 0x10000
            + b"\r\n0\r\n\r\n"
        )
        assert b" 413 " in connection.recv(200)


# -- the day --------------------------------------------------------------------------------------


def test_a_day_says_what_is_stored_what_is_missing_and_what_was_seen(here: House) -> None:
    day = here.until_read()
    assert day["stored_seconds"] == pytest.approx(9, abs=0.2)
    assert sum(each["frames"] for each in day["clips"]) == 9 * RATE
    assert {each["cause"] for each in day["missing"]} >= {"not yet recording", "camera offline"}
    assert [each["summary"] for each in day["notes"]] == ["아이들이 블록을 쌓고 있습니다."]
    spans = sorted(
        (each["starts_at"], each["ends_at"])
        for each in (*day["stored"], *day["missing"], *day["not_yet_stored"])
    )
    assert datetime.fromisoformat(spans[0][0]) == datetime.fromisoformat(day["starts_at"])
    assert all(one[1] == other[0] for one, other in pairwise(spans))


def test_the_index_accounts_for_a_day_as_the_bucket_does(here: House) -> None:
    here.until_read()
    settings = here.viewer.settings
    zone, clock = settings.zone, SystemClock()
    local = here.clips[0].starts_at.astimezone(zone).date()
    bounds = local_day(local, zone, clock.now())
    from_bucket, _ = of_camera(here.store, settings, CAMERA, bounds, clock)
    from_index = evidence(Index(settings.viewer.root / FILE), CAMERA, bounds)
    assert sorted(from_index.stretches) == sorted(from_bucket.stretches)
    assert {each.key for each in from_index.records} == {each.key for each in from_bucket.records}
    assert from_index.gaps == from_bucket.gaps
    assert from_index.recording_since == from_bucket.recording_since


def test_a_clip_that_is_stored_and_a_room_that_is_judged_arrive_by_themselves(own: House) -> None:
    own.until_read()
    watcher = own.person()
    with listening(watcher) as told:
        at = datetime.now(UTC) - timedelta(seconds=90)
        key = note(own.store, at, "모두 자고 있습니다.", Activity.SLEEPING)
        own.publish(
            Event(
                stage=Stage.ANALYZER, worker="w", camera=CAMERA, event="described",
                at=datetime.now(UTC), detail={"key": key},
            )
        )  # fmt: skip
        seen = told("note")
        assert seen["note"]["summary"] == "모두 자고 있습니다."
        own.publish(stored_event(own.clips[1], "archiver-7"))
        assert told("clip")["clip"]["first"] == own.clips[1].first
    found = watcher.get("/api/notes?words=" + quote("자고"))
    assert [each["activity"] for each in found] == ["sleeping"]


@contextmanager
def listening(person: Person) -> Iterator[Any]:
    """Server-sent events of a person, one after the other."""
    host = urlsplit(person.address)
    with socket.create_connection((host.hostname or "", host.port or 0), 15) as connection:
        head = f"GET /api/stream HTTP/1.1\r\nHost: x\r\nCookie: {person.cookie}\r\n\r\n"
        connection.sendall(head.encode())
        stream = connection.makefile("rb")
        while b"still there" not in stream.readline():
            pass

        def told(kind: str) -> dict[str, Any]:
            while True:
                line = stream.readline().decode().strip()
                if line == f"event: {kind}":
                    found: dict[str, Any] = json.loads(stream.readline().decode().partition(":")[2])
                    return found

        yield told


def test_notes_are_found_by_words_activity_room_and_time(own: House) -> None:
    own.until_read()
    at = own.clips[0].starts_at
    for place, (words, activity) in enumerate(
        [("두 아이가 점심을 먹습니다.", Activity.FEEDING), ('say "hello" 100%_', Activity.CRYING)]
    ):
        note(own.store, at + timedelta(minutes=2 + place), words, activity)
    person = own.person()
    index = Index(own.viewer.settings.viewer.root / FILE)
    Reading(own.store, index, get_logger()).take_camera(CAMERA)

    def found(query: str) -> list[str]:
        return [each["activity"] for each in person.get(f"/api/notes?{query}")]

    assert found("") == ["crying", "feeding", "playing"]
    assert found("activity=feeding") == ["feeding"]
    assert found("words=" + quote("점심을")) == ["feeding"]
    assert found("words=" + quote("아이")) == ["feeding", "playing"]
    assert found("words=" + quote("아이 블록")) == ["playing"]
    assert found("words=" + quote('"hello" 100%_')) == ["crying"]
    assert found("words=" + quote('" OR 1=1 --')) == []
    assert found("camera=camera-2") == []
    assert found("limit=1") == ["crying"]
    until = (at + timedelta(minutes=2)).isoformat()
    assert found("to=" + quote(until)) == ["playing"]
    key = person.get("/api/notes?activity=playing")[0]["key"]
    answer = person.ask("GET", f"/api/notes/picture?key={quote(key)}")
    assert (answer.status, answer.body) == (200, b"\xff\xd8 a picture")


def test_a_lost_index_is_read_anew_from_the_bucket(
    own: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = own.until_read()
    settings = own.viewer.settings
    (own.folder / "viewer" / FILE).write_bytes(b"this is no index")
    for suffix in ("-wal", "-shm"):
        (own.folder / "viewer" / (FILE + suffix)).unlink(missing_ok=True)
    file = tmp_path / "cradle.yaml"
    content = {
        "viewer": {"url": settings.viewer.url},
        "archive": {
            **settings.archive.model_dump(include={"endpoint", "access_key", "bucket"}),
            "secret_key": settings.archive.secret_key.get_secret_value(),
        },
    }
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert main(["reindex", "--config", str(file)]) == 0
    assert f"{CAMERA}: 3 clips, 1 notes" in capsys.readouterr().out
    zone, clock = settings.zone, SystemClock()
    local = own.clips[0].starts_at.astimezone(zone).date()
    index = Index(settings.viewer.root / FILE)
    found = evidence(index, CAMERA, local_day(local, zone, clock.now()))
    assert sum(each.last - each.first + 1 for each in found.stretches) == 9
    assert len(before["clips"]) == 3


def test_a_camera_whose_first_clip_comes_while_the_viewer_runs_has_a_day(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings, videos: Videos
) -> None:
    store = ObjectStore(archive_settings)
    with viewing(tmp_path, broker_url, archive_settings) as viewer:
        person = viewer.person("watcher")
        eventually(lambda: not person.get(f"/api/cameras/{CAMERA}/days"), 10, "an empty bucket")
        recorded = record(tmp_path / "frames", videos(".mp4", seconds=9), starts_at=an_hour_ago())
        with committing(tmp_path / "frames", store) as committer:
            clip = committer.commit(clip_of(recorded, 0, 2)).manifest
        event = stored_event(clip, "archiver-1")
        local = clip.starts_at.astimezone(viewer.settings.zone).date()
        with Link(viewer.settings.broker.url, "test") as link:
            link.publish_and_wait(EVENTS, event.routing_key, event.to_body())
        day = f"/api/cameras/{CAMERA}/days/{local}"
        eventually(lambda: person.get(day)["stored_seconds"], 10, "the clip is stored time")


# -- clips ----------------------------------------------------------------------------------------


def test_a_clip_is_played_by_byte_ranges(here: House) -> None:
    here.until_read()
    person, clip = here.person(), here.clips[1]
    whole = person.ask("GET", here.path(clip, "video"))
    assert (whole.status, len(whole.body)) == (200, clip.bytes)
    assert whole.headers["accept-ranges"] == "bytes"
    part = person.ask("GET", here.path(clip, "video"), range="bytes=100-299")
    assert part.status == 206
    assert part.headers["content-range"] == f"bytes 100-299/{clip.bytes}"
    assert part.body == whole.body[100:300]
    beyond = person.ask("GET", here.path(clip, "video"), range=f"bytes={clip.bytes}-")
    assert beyond.status == 416
    kept = here.person("boss").ask("GET", here.path(clip, "download"))
    assert kept.body == whole.body
    name = clip.object_key.rpartition("/")[2]
    assert kept.headers["content-disposition"] == f'attachment; filename="{name}"'
    poster = person.ask("GET", here.path(clip, "poster"))
    assert poster.body.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("starts", "ends", "fragments"),
    [(0, 9, (0, 9)), (1.5, 4.5, (1, 5)), (2.9, 3.1, (2, 4)), (4.2, 4.8, (4, 5)), (8.5, 60, (8, 9))],
)
def test_a_span_is_joined_frame_by_frame_across_clips(
    here: House, starts: float, ends: float, fragments: tuple[int, int]
) -> None:
    here.until_read()
    began = here.clips[0].starts_at
    query = _span(began + timedelta(seconds=starts), began + timedelta(seconds=ends))
    answer = here.person("boss").ask("GET", f"/api/cameras/{CAMERA}/span?{query}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "video/mp4"
    first, end = fragments
    assert decode_counters(answer.body) == list(range(first * RATE, end * RATE))
    assert not list((here.folder / "viewer" / "downloads").iterdir())


def test_a_span_without_footage_or_without_end_is_refused(here: House) -> None:
    here.until_read()
    boss = here.person("boss")
    began = here.clips[0].starts_at
    for starts, ends, status in (
        (-900, -600, 404),
        (5, 5, 422),
        (5, 4, 422),
        (0, 5 * 3600, 422),
    ):
        query = _span(began + timedelta(seconds=starts), began + timedelta(seconds=ends))
        assert boss.ask("GET", f"/api/cameras/{CAMERA}/span?{query}").status == status


def test_a_picture_of_a_moment_comes_from_the_clip(here: House) -> None:
    here.until_read()
    person = here.person()

    def picture(seconds: float) -> Any:
        at = (here.clips[0].starts_at + timedelta(seconds=seconds)).isoformat()
        return person.ask("GET", f"/api/cameras/{CAMERA}/picture?at={quote(at)}")

    assert picture(4.5).body.startswith(b"\xff\xd8")
    assert picture(-60).status == 404
    assert picture(3600).status == 404


def test_a_hold_is_an_object_that_expiry_respects(here: House) -> None:
    here.until_read()
    boss, clip = here.person("boss"), here.clips[1]
    assert boss.ask("PUT", here.path(clip, "hold") + "?reason=asked").status == 204
    words = here.store.read(f"holds/{clip.identity.manifest_key}")
    assert words is not None
    assert b"by boss: asked" in words
    assert boss.get(here.path(clip))["is_held"]
    assert boss.ask("PUT", here.path(clip, "hold")).status == 204, "held twice is held"
    assert boss.ask("DELETE", here.path(clip, "hold")).status == 204
    assert here.store.read(f"holds/{clip.identity.manifest_key}") is None
    assert not boss.get(here.path(clip))["is_held"]


# -- the system -----------------------------------------------------------------------------------


def test_the_system_view_says_who_works_and_what_waits(here: House) -> None:
    here.publish(
        Event(
            stage=Stage.INGEST, worker="ingest-3", camera=CAMERA, event="offline",
            at=datetime.now(UTC), detail={"reason": "cannot be opened: no route to host"},
        )
    )  # fmt: skip
    boss = here.person("boss")

    def facts() -> Any:
        found = boss.get("/api/system")
        return found if found["cameras"][0]["last_error"] else None

    found = eventually(facts, 10, "the error is known")
    camera = found["cameras"][0]
    assert camera["last_error"] == "cannot be opened: no route to host"
    assert camera["live"] == "offline"
    assert camera["archive_lag_seconds"] == pytest.approx(3600, abs=60)
    assert [each["is_held"] for each in camera["seats"]] == [False, False, False]
    assert found["broker_since"] is not None
    assert found["replicas"] == {"ingest": 0, "encoder": 0, "archiver": 0, "analyzer": 0}
    assert f"archiver.{CAMERA}" in [each["name"] for each in found["queues"]]
    assert found["frame_store"]["free_bytes"] > 0


def _span(starts: datetime, ends: datetime) -> str:
    return f"from={quote(starts.isoformat())}&to={quote(ends.isoformat())}"


def test_the_days_of_a_camera_are_local_days(here: House) -> None:
    here.until_read()
    zone = here.viewer.settings.zone
    local = here.clips[0].starts_at.astimezone(zone).date().isoformat()
    assert local in here.person().get(f"/api/cameras/{CAMERA}/days")
