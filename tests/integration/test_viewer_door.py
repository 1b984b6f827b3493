"""Who may come in, and what happens to those who may not: on a real server."""

import socket
import ssl
import subprocess
import threading
import time
from contextlib import AbstractContextManager, suppress
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok

from shared.clock import SystemClock
from shared.config import ArchiveSettings
from shared.errors import Misconfigured
from shared.users import hash_of
from shared.viewersettings import ViewerSettings
from tests.archiver_fragments import CAMERA
from tests.gate import Gate
from tests.starving import starving
from tests.support import eventually
from tests.videos import Videos
from tests.viewer_bucket import House, house, span_query
from tests.viewer_house import PASSWORD, TOKEN, Person, Viewing, viewing
from viewer.application import VIEWS
from viewer.limits import MOST_BODY_BYTES
from viewer.server import Server

EXAMPLES = 15
HANGING = 100
"""More than there are threads for requests."""
ENOUGH = 40


def test_nothing_but_the_entrance_answers_without_a_login(viewed: House) -> None:
    boss, anybody = viewed.person("boss"), viewed.viewer.anybody()
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
            there = f"/login?next={view.replace('{camera}', CAMERA)}"
            assert (answer.status, answer.headers["location"]) == (303, there)


def test_every_answer_has_the_headers_that_keep_a_browser_safe(viewed: House) -> None:
    for who in (viewed.viewer.anybody(), viewed.person()):
        for path in ("/login", "/", "/api/session", "/assets/app.js", "/api/cameras", "/nowhere"):
            headers = who.ask("GET", path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "cache-control" in headers


def test_the_cookie_is_for_this_page_alone(viewed: House) -> None:
    cookie = viewed.viewer.anybody().log_in("watcher").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert "domain" not in cookie


def test_a_wrong_password_is_refused_and_soon_slowly(own_viewed: House) -> None:
    anybody = own_viewed.viewer.anybody()
    statuses = [anybody.log_in("watcher", "wrong password").status for _ in range(7)]
    assert statuses[:5] == [401] * 5
    assert statuses[-1] == 429
    assert anybody.log_in("watcher").status == 429, "the right one must wait as well"


def test_another_sites_page_can_change_nothing_and_log_nobody_in(own_viewed: House) -> None:
    watcher = own_viewed.person("boss")
    kept, watcher.token = watcher.token, ""
    hold = own_viewed.path(own_viewed.clips[0], "hold")
    own_viewed.until_read()
    assert watcher.ask("PUT", hold).status == 403
    assert watcher.ask("PUT", hold, x_csrf_token="0" * 64).status == 403
    assert watcher.ask("DELETE", "/api/session").status == 403
    assert watcher.ask("PUT", hold, x_csrf_token=kept).status == 204
    login = {"name": "watcher", "password": PASSWORD}
    anybody = own_viewed.viewer.anybody()
    for headers in ({"sec_fetch_site": "cross-site"}, {"origin": "http://evil.example"}):
        assert anybody.ask("POST", "/api/session", login, **headers).status == 403
    ours = {"origin": own_viewed.viewer.address}
    assert anybody.ask("POST", "/api/session", login, **ours).status == 200


def test_logging_out_ends_the_session_for_whoever_has_its_cookie(viewed: House) -> None:
    watcher = viewed.person()
    thief = Person(viewed.viewer.address, watcher.cookie)
    assert thief.ask("GET", "/api/session").status == 200
    assert watcher.ask("DELETE", "/api/session").status == 204
    assert thief.ask("GET", "/api/session").status == 401


def test_a_log_out_is_known_to_replicas_that_share_the_broker_and_no_folder(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings
) -> None:
    shared_by_all = {
        "port": 0,
        "secret": "s" * 40,
        "users": [{"name": "minji", "role": "operator", "password_hash": hash_of(PASSWORD)}],
    }

    def replica(name: str) -> AbstractContextManager[Viewing]:
        folder = tmp_path / name
        section = {**shared_by_all, "url": (folder / "viewer").as_uri()}
        return viewing(
            folder, broker_url, archive_settings, has_users=False, name=name, viewer=section
        )

    def until_it_hears(viewer: Viewing) -> Person:
        person = viewer.person("minji")
        eventually(lambda: person.get("/api/system")["broker_since"], 20, "events arrive")
        return person

    with replica("viewer-1") as first:
        there, other = until_it_hears(first), first.person("minji")
        with replica("viewer-2") as second:
            until_it_hears(second)
            here = Person(second.address, there.cookie)
            assert here.ask("GET", "/api/session").status == 200
            assert there.ask("DELETE", "/api/session").status == 204
            eventually(lambda: here.ask("GET", "/api/session").status == 401, 10, "it ends there")
            assert Person(second.address, other.cookie).ask("GET", "/api/session").status == 200
        with replica("viewer-3") as late:  # has heard nothing of it
            until_it_hears(late)
            again = Person(late.address, there.cookie)
            with replica("viewer-2"):  # is told of, where the broker is met
                eventually(
                    lambda: again.ask("GET", "/api/session").status == 401, 20, "it is told again"
                )


def test_a_viewer_may_not_do_what_operators_may(viewed: House) -> None:
    viewed.until_read()
    span = f"/api/cameras/{CAMERA}/span?" + span_query(
        viewed.clips[0].starts_at, viewed.clips[0].ends_at
    )
    calls = [
        ("PUT", viewed.path(viewed.clips[0], "hold")),
        ("DELETE", viewed.path(viewed.clips[0], "hold")),
        ("GET", viewed.path(viewed.clips[0], "download")),
        ("GET", span),
        ("GET", "/api/system"),
    ]
    watcher, boss = viewed.person("watcher"), viewed.person("boss")
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
def test_paths_that_lead_elsewhere_lead_nowhere(viewed: House, path: str) -> None:
    (viewed.folder / "live" / CAMERA).mkdir(parents=True, exist_ok=True)
    answer = viewed.person("boss").ask("GET", path)
    assert answer.status in {404, 422}, answer


def test_a_link_in_the_live_folder_shows_nothing_that_lies_elsewhere(viewed: House) -> None:
    folder = viewed.folder / "live" / CAMERA / ("0" * 20)
    folder.mkdir(parents=True)
    (folder / "000001.ts").symlink_to(viewed.folder / "viewer" / "users.json")
    answer = viewed.person().ask("GET", f"/api/cameras/{CAMERA}/live/{'0' * 20}/000001.ts")
    assert answer.status == 404
    assert b"argon2" not in answer.body


def test_requests_that_are_too_large_are_refused_unread(viewed: House) -> None:
    anybody = viewed.viewer.anybody()
    large = b"x" * (MOST_BODY_BYTES + 1)
    assert anybody.ask("POST", "/api/session", large).status == 413
    host = urlsplit(viewed.viewer.address)
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


def test_behind_a_proxy_that_is_trusted_the_visitor_and_the_scheme_are_known(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings
) -> None:
    forwarded = {"x_forwarded_for": "203.0.113.7", "x_forwarded_proto": "https"}
    for trusted, is_secure in ((["127.0.0.1"], True), ([], False)):
        folder = tmp_path / str(is_secure)
        section = {"url": (folder / "viewer").as_uri(), "port": 0, "trusted_proxies": trusted}
        with viewing(folder, broker_url, archive_settings, viewer=section) as viewer:
            login = {"name": "watcher", "password": PASSWORD}
            answer = viewer.anybody().ask("POST", "/api/session", login, **forwarded)
            assert answer.status == 200
            assert ("secure" in answer.headers["set-cookie"].lower()) is is_secure
            assert ("strict-transport-security" in answer.headers) is is_secure


def test_with_a_certificate_the_page_speaks_tls_alone_and_waits_for_it_no_longer_than_it_should(
    tmp_path: Path,
    broker_url: str,
    archive_settings: ArchiveSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("viewer.server.HANDSHAKE_SECONDS", 2.0)
    certificate, key = tmp_path / "page.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    section = {
        "url": (tmp_path / "viewer").as_uri(),
        "port": 0,
        "certificate": str(certificate),
        "certificate_key": str(key),
    }
    with viewing(tmp_path, broker_url, archive_settings, viewer=section) as viewer:
        assert viewer.address.startswith("https://")
        trust = ssl.create_default_context(cafile=str(certificate))
        connection = HTTPSConnection(urlsplit(viewer.address).netloc, timeout=10, context=trust)
        connection.request("GET", "/login")
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.getheader("strict-transport-security")
        connection.close()
        where = urlsplit(viewer.address)
        with socket.create_connection((where.hostname or "", where.port or 0), 10) as silent:
            assert silent.recv(1) == b""


def test_a_port_that_is_taken_and_a_certificate_that_is_none_are_said_in_a_sentence(
    tmp_path: Path,
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(Misconfigured, match="cannot be listened on"),
    ):
        Server(FastAPI(), ViewerSettings(port=taken.getsockname()[1]), SystemClock())
    (tmp_path / "page.pem").write_text("this is no certificate")
    file = tmp_path / "page.pem"
    with pytest.raises(Misconfigured, match=r"viewer\.certificate: cannot be used"):
        Server(
            FastAPI(), ViewerSettings(port=0, certificate=file, certificate_key=file), SystemClock()
        )


APART = {("GET", "/api/stream"), ("DELETE", "/api/session")}
"""The one never ends, the other ends the session that all others need."""


def test_the_api_keeps_to_its_own_description(own_viewed: House) -> None:
    """Schemathesis makes requests, good and bad, and holds the answers against the description."""
    own_viewed.until_read()
    boss = own_viewed.person("boss")
    schema = schemathesis.openapi.from_dict(boss.get("/api/openapi.json"))
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    tried = [each for each in operations if (each.method.upper(), each.path) not in APART]
    assert len(tried) > 15
    for operation in sorted(tried, key=lambda each: each.method == "post"):  # wrong logins last

        @given(case=operation.as_strategy())
        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
        def keeps_to_it(case: Any) -> None:
            headers = {"cookie": boss.cookie, "x-csrf-token": boss.token}
            response = case.call(base_url=own_viewed.viewer.address, headers=headers, timeout=20)
            case.validate_response(response)

        keeps_to_it()


def test_a_store_that_hangs_does_not_disturb_live(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings, videos: Videos
) -> None:
    with Gate(archive_settings.endpoint) as gate:
        archive = archive_settings.model_copy(update={"endpoint": gate.url})
        video = videos(".mp4", seconds=9)
        with house(tmp_path, broker_url, archive, video) as made:
            made.until_read()
            person = made.person()
            segments = tmp_path / "live" / CAMERA / ("0" * 20)
            segments.mkdir(parents=True)
            (segments.parent / "index.m3u8").write_text("#EXTM3U\n")
            (segments / "000001.ts").write_bytes(bytes(188 * 1000))
            gate.hold()
            poster = made.path(made.clips[0], "poster")
            waiting = [
                threading.Thread(target=_ask_in_vain, args=(person, poster), daemon=True)
                for _ in range(HANGING)
            ]
            for each in waiting:
                each.start()
            eventually(lambda: requests_held(gate) >= ENOUGH, 20, "requests hang at the store")
            for path in (f"live/{'0' * 20}/000001.ts", "live/index.m3u8"):
                with starving() as machine:
                    began = time.monotonic()
                    answer = person.ask("GET", f"/api/cameras/{CAMERA}/{path}")
                    assert time.monotonic() - began - machine.seconds() < 1
                assert answer.status == 200
            gate.open()
            for each in waiting:
                each.join(30)


def _ask_in_vain(person: Person, path: str) -> None:
    with suppress(OSError):
        person.ask("GET", path)


def requests_held(gate: Gate) -> int:
    """Connections through a gate."""
    return len(gate._through) // 2
