"""Create-only on a real S3 server, also when its answers are lost on the way."""

import hashlib
import logging
import os
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from shared import createonly
from shared.config import ArchiveSettings
from shared.errors import AlreadyExists, Misconfigured, Refused, StoreUnavailable
from shared.objectstore import PART_BYTES, ObjectStore
from tests.answers import Answers, answering
from tests.proxy import LossyProxy
from tests.support import no_search_for_cycles

KEY = "clips/camera-1/2026/03/01/camera-1_1.mp4"
SINGLE = 200_000
IN_PARTS = 2 * PART_BYTES + 12_345

PUT_OBJECT = r"PUT /[^/?]+/[^?]+ "
COMPLETE = r"POST \S+\?uploadId="


@pytest.fixture
def store(archive_settings: ArchiveSettings) -> ObjectStore:
    return ObjectStore(archive_settings)


@pytest.fixture
def proxy(archive_settings: ArchiveSettings) -> Iterator[LossyProxy]:
    where = urlsplit(archive_settings.endpoint)
    with LossyProxy(where.hostname or "", where.port or 0) as proxy:
        yield proxy


@pytest.fixture
def through_proxy(archive_settings: ArchiveSettings, proxy: LossyProxy) -> ObjectStore:
    return ObjectStore(_with(archive_settings, endpoint=f"http://127.0.0.1:{proxy.port}"))


def _with(settings: ArchiveSettings, **changes: object) -> ArchiveSettings:
    return settings.model_copy(update=changes)


def _file(folder: Path, size: int, name: str = "clip.mp4") -> Path:
    path = folder / name
    path.write_bytes(os.urandom(size))
    return path


def _create(store: ObjectStore, path: Path, key: str = KEY) -> bool:
    return store.create_file(
        key,
        path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        content_type="video/mp4",
        metadata={"camera": "camera-1"},
    )


def _content(store: ObjectStore, folder: Path) -> bytes:
    copy = folder / "copy"
    store.download(KEY, copy)
    return copy.read_bytes()


@pytest.mark.parametrize("size", [0, SINGLE, IN_PARTS])
def test_a_file_is_stored_whole_with_its_metadata(
    store: ObjectStore, tmp_path: Path, size: int
) -> None:
    path = _file(tmp_path, size)
    assert _create(store, path)
    found = store.stat(KEY)
    assert found is not None
    assert found.bytes == size
    assert found.metadata == {
        "camera": "camera-1",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert found.modified_at is not None
    assert abs(datetime.now(UTC) - found.modified_at) < timedelta(minutes=1)
    assert _content(store, tmp_path) == path.read_bytes()


@pytest.mark.parametrize("size", [SINGLE, IN_PARTS])
def test_a_second_write_of_a_key_is_refused(store: ObjectStore, tmp_path: Path, size: int) -> None:
    first = _file(tmp_path, size, "first")
    _create(store, first)
    with pytest.raises(AlreadyExists):
        _create(store, _file(tmp_path, size, "second"))
    assert _content(store, tmp_path) == first.read_bytes()
    assert store.abort_left_over_uploads(timedelta(), _later()) == 0


@pytest.mark.parametrize("size", [SINGLE, IN_PARTS])
def test_the_same_content_is_adopted(store: ObjectStore, tmp_path: Path, size: int) -> None:
    path = _file(tmp_path, size)
    assert _create(store, path)
    assert not _create(store, path)


@pytest.mark.parametrize(("size", "request_line"), [(SINGLE, PUT_OBJECT), (IN_PARTS, COMPLETE)])
def test_a_lost_answer_is_neither_a_failure_nor_a_second_object(
    store: ObjectStore,
    through_proxy: ObjectStore,
    proxy: LossyProxy,
    tmp_path: Path,
    size: int,
    request_line: str,
) -> None:
    path = _file(tmp_path, size)
    proxy.lose(request_line)
    assert not _create(through_proxy, path)
    assert len(proxy.lost) == 1
    assert _content(store, tmp_path) == path.read_bytes()


@pytest.mark.parametrize(("size", "request_line"), [(SINGLE, PUT_OBJECT), (IN_PARTS, COMPLETE)])
def test_a_lost_refusal_is_still_a_refusal(
    store: ObjectStore,
    through_proxy: ObjectStore,
    proxy: LossyProxy,
    tmp_path: Path,
    size: int,
    request_line: str,
) -> None:
    first = _file(tmp_path, size, "first")
    _create(store, first)
    proxy.lose(request_line)
    with pytest.raises(AlreadyExists):
        _create(through_proxy, _file(tmp_path, size, "second"))
    assert len(proxy.lost) == 1
    assert _content(store, tmp_path) == first.read_bytes()


def test_an_unanswered_completion_is_not_followed_by_an_abort(
    through_proxy: ObjectStore, proxy: LossyProxy, tmp_path: Path
) -> None:
    proxy.lose(COMPLETE)
    _create(through_proxy, _file(tmp_path, IN_PARTS))
    assert not [line for line in proxy.requests if line.startswith("DELETE")]


def test_a_part_whose_answer_is_lost_is_sent_again(
    store: ObjectStore, through_proxy: ObjectStore, proxy: LossyProxy, tmp_path: Path
) -> None:
    path = _file(tmp_path, IN_PARTS)
    proxy.lose(r"PUT \S+partNumber=2")
    assert _create(through_proxy, path)
    assert len(proxy.lost) == 1
    assert _content(store, tmp_path) == path.read_bytes()


def test_an_upload_that_cannot_be_finished_is_unavailable_and_can_be_done_again(
    store: ObjectStore, through_proxy: ObjectStore, proxy: LossyProxy, tmp_path: Path
) -> None:
    path = _file(tmp_path, IN_PARTS)
    proxy.lose(r"PUT \S+partNumber=2", times=3)
    with pytest.raises(StoreUnavailable):
        _create(through_proxy, path)
    assert store.stat(KEY) is None
    assert _create(through_proxy, path)


def test_small_objects_follow_the_same_rules(store: ObjectStore) -> None:
    assert store.create_bytes(KEY, b"{}", content_type="application/json")
    assert not store.create_bytes(KEY, b"{}", content_type="application/json")
    for other in (b"[]", b"", b"{} "):
        with pytest.raises(AlreadyExists):
            store.create_bytes(KEY, other, content_type="application/json")
    assert store.read(KEY) == b"{}"


def test_the_same_manifest_is_adopted_when_its_answer_is_lost(
    through_proxy: ObjectStore, proxy: LossyProxy
) -> None:
    proxy.lose(PUT_OBJECT)
    assert not through_proxy.create_bytes(KEY, b"{}", content_type="application/json")
    assert len(proxy.lost) == 1


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    assert store.create_bytes(KEY, b"", content_type="text/plain")
    assert store.read(KEY) == b""


def test_what_is_not_there_is_none(store: ObjectStore, tmp_path: Path) -> None:
    assert store.read("clips/none") is None
    assert store.stat("clips/none") is None
    store.remove("clips/none")
    with pytest.raises(Refused):
        store.download("clips/none", tmp_path / "none")
    assert not list(tmp_path.iterdir())


def test_an_object_over_the_limit_is_not_read_into_memory(store: ObjectStore) -> None:
    store.create_bytes(KEY, b"x" * 100, content_type="text/plain")
    assert store.read(KEY, limit_bytes=100) == b"x" * 100
    with pytest.raises(Refused):
        store.read(KEY, limit_bytes=99)


def test_a_removed_key_can_be_created_again(store: ObjectStore) -> None:
    store.create_bytes(KEY, b"1", content_type="text/plain")
    store.remove(KEY)
    assert store.create_bytes(KEY, b"2", content_type="text/plain")


def test_metadata_that_http_cannot_carry_is_refused(store: ObjectStore) -> None:
    for value in ("영아반", "a\r\nx-amz-acl: public-read"):
        with pytest.raises(ValueError, match="ASCII"):
            store.create_bytes(KEY, b"", content_type="text/plain", metadata={"name": value})
    assert store.stat(KEY) is None


def test_a_listing_is_sorted_recursive_and_complete(store: ObjectStore) -> None:
    keys = [f"clips/camera-1/2026/03/{day:02d}/{n:06d}.mp4" for day in (1, 2) for n in range(520)]
    keys += ["clips/camera-1-b/2026/03/01/000000.mp4", "clips/camera-1/한글 +&%.json"]
    for key in reversed(keys):
        store.create_bytes(key, b"x", content_type="text/plain")
    expected = sorted(key for key in keys if key.startswith("clips/camera-1/"))
    assert [found.key for found in store.list("clips/camera-1/")] == expected
    after = [found.key for found in store.list("clips/camera-1/", start_after=expected[700])]
    assert after == expected[701:]
    assert sorted(found.key for found in store.list("clips/")) == sorted(keys)
    assert next(store.list("clips/")).bytes == 1


def test_left_over_uploads_are_dropped_once_they_are_old(
    store: ObjectStore, through_proxy: ObjectStore, proxy: LossyProxy, tmp_path: Path
) -> None:
    proxy.lose(r"PUT \S+partNumber=2", times=3)
    proxy.lose(r"DELETE \S+uploadId=", times=3)
    with pytest.raises(StoreUnavailable):
        _create(through_proxy, _file(tmp_path, IN_PARTS))
    # The abort was carried out though its answer was lost: begin two that nobody ends.
    for key in ("clips/1", "clips/2"):
        store._client._create_multipart_upload(store._bucket, key, {})
    now = datetime.now(UTC)
    assert store.abort_left_over_uploads(timedelta(days=1), now) == 0
    assert store.abort_left_over_uploads(timedelta(days=1), now + timedelta(days=2)) == 2
    assert store.abort_left_over_uploads(timedelta(), _later()) == 0


def test_a_good_store_passes_the_probe_and_keeps_nothing_of_it(store: ObjectStore) -> None:
    store.probe()
    assert not list(store.list(""))
    assert store.abort_left_over_uploads(timedelta(), _later()) == 0


def test_ensuring_a_bucket_twice_is_fine(store: ObjectStore) -> None:
    store.ensure_bucket()


class Picture:
    """Something large that the caller of a store has at hand."""


def _read_what_is_not_there(store: ObjectStore) -> None:
    assert store.read("probe/nothing") is None


def _write_the_same_again(store: ObjectStore) -> None:
    store.create_bytes(KEY, b"one", content_type="text/plain")
    assert not store.create_bytes(KEY, b"one", content_type="text/plain")


def _write_another(store: ObjectStore) -> None:
    store.create_bytes(KEY, b"one", content_type="text/plain")
    with pytest.raises(AlreadyExists):
        store.create_bytes(KEY, b"two", content_type="text/plain")


def _find_it_away(store: ObjectStore) -> None:
    with pytest.raises(StoreUnavailable):
        store.stat(KEY)


@pytest.mark.parametrize(
    "meet_an_error",
    [_read_what_is_not_there, _write_the_same_again, _write_another, _find_it_away],
)
def test_an_answer_that_is_an_error_keeps_nothing_of_its_caller_in_memory(
    archive_settings: ArchiveSettings,
    meet_an_error: Callable[[ObjectStore], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Cycles of error, traceback and frame would, until cycles are looked for."""
    caplog.set_level(logging.ERROR, "urllib3")  # a record of its warning would hold the error
    away = {"endpoint": "http://127.0.0.1:1"} if meet_an_error is _find_it_away else {}
    store = ObjectStore(_with(archive_settings, **away))

    def work() -> weakref.ref[Picture]:
        picture = Picture()
        meet_an_error(store)
        return weakref.ref(picture)

    with no_search_for_cycles():
        kept = work()
        assert kept() is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"bucket": "no-such-bucket"}, "archive.bucket"),
        ({"secret_key": SecretStr("wrong")}, "archive.secret_key"),
        ({"access_key": "nobody"}, "archive.access_key"),
    ],
)
def test_a_wrong_setting_is_named(
    archive_settings: ArchiveSettings, change: dict[str, object], named: str
) -> None:
    with pytest.raises(Misconfigured, match=named):
        ObjectStore(_with(archive_settings, **change)).probe()


def test_a_store_that_is_away_is_unavailable(archive_settings: ArchiveSettings) -> None:
    away = ObjectStore(_with(archive_settings, endpoint="http://127.0.0.1:9"))
    for call in (away.probe, away.ensure_bucket, lambda: away.stat(KEY), lambda: away.read(KEY)):
        with pytest.raises(StoreUnavailable):
            call()
    with pytest.raises(StoreUnavailable):
        list(away.list(""))


@pytest.mark.parametrize(
    ("status", "error", "named"),
    [
        (200, Misconfigured, "overwrites"),
        (404, Misconfigured, "archive.endpoint"),
        (503, StoreUnavailable, "503"),
    ],
)
def test_a_server_that_overwrites_is_refused_and_one_that_fails_is_waited_for(
    status: int, error: type[Exception], named: str
) -> None:
    with answering(status) as endpoint, pytest.raises(error, match=named):
        ObjectStore(ArchiveSettings(endpoint=endpoint, secret_key=SecretStr("secret"))).probe()


class _Slow(Answers):
    """Takes a body in bit by bit, and sends its sender on to another place once."""

    taken: list[bytes]
    pause_seconds = 0.02

    def do_PUT(self) -> None:  # noqa: N802 - inherited
        left, pieces, pause = int(self.headers["Content-Length"]), [], threading.Event()
        while left:
            pieces.append(self.rfile.read(min(left, 64 * 1024)))
            left -= len(pieces[-1])
            pause.wait(self.pause_seconds)
        self.taken.append(b"".join(pieces))
        self.send_response(200 if self.path.startswith("/elsewhere/") else 307)
        self.send_header("Location", f"/elsewhere{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_what_takes_its_time_is_sent_whole_and_again_where_the_store_sends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """12 MB at 3 MB a second: no block has to wait for long, all of it together does."""
    monkeypatch.setattr(createonly, "CONNECT_SECONDS", 1.0)
    taken: list[bytes] = []
    slow = type("Slow", (_Slow,), {"taken": taken})
    server = ThreadingHTTPServer(("127.0.0.1", 0), slow, bind_and_activate=False)
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    server.server_bind()
    server.server_activate()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    data = os.urandom(12 * 1000 * 1000)
    try:
        pool = createonly.ImpatientPool(retries=1)
        url = f"http://127.0.0.1:{server.server_port}/bucket/key"
        headers = {"Content-Length": str(len(data))}
        response = pool.urlopen("PUT", url, body=data, headers=headers)
    finally:
        server.shutdown()
        server.server_close()
    assert response.status == 200
    assert taken == [data, data]


def _later() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)
