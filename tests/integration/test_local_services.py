"""The private broker and store: loopback only, the same on the next start, never orphaned."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pika
import pytest
from pydantic import SecretStr

from deploy.local import broker as broker_module
from deploy.local.broker import Broker
from deploy.local.program import Program
from deploy.local.store import Store
from shared.config import ArchiveSettings
from shared.errors import ChildFailed, Misconfigured, MissingProgram
from shared.objectstore import ObjectStore
from tests.support import eventually

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("node"))
    broker.start()
    broker.wait_ready()
    yield broker
    broker.kill()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("store"))
    store.start()
    store.wait_ready()
    yield store
    store.kill()


def _settings(store: Store) -> ArchiveSettings:
    return ArchiveSettings(
        endpoint=store.endpoint,
        access_key=store.access_key,
        secret_key=SecretStr(store.secret_key),
    )


def _publish_lasting(url: str, body: bytes) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True)
        channel.basic_publish("", "kept", body, pika.BasicProperties(delivery_mode=2))


def _fetch(url: str) -> bytes | None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        _, _, body = connection.channel().basic_get("kept", auto_ack=True)
        return bytes(body) if body is not None else None


def _listening(pid: int) -> set[str]:
    """Addresses on which a process listens, from /proc."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(os.readlink(descriptor))
        except OSError:
            continue
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                raw = bytes.fromhex(fields[1].partition(":")[0])
                words = [raw[i : i + 4][::-1] for i in range(0, len(raw), 4)]
                family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
                addresses.add(socket.inet_ntop(family, b"".join(words)))
    return addresses


def _get(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    where = urlsplit(url)
    connection = HTTPConnection(where.hostname or "", where.port, timeout=10)
    try:
        connection.request("GET", f"{where.path or '/'}?{where.query}", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def test_everything_listens_on_loopback_only(node: Broker, store: Store) -> None:
    assert _listening(node.pid) == {"127.0.0.1"}
    assert _listening(node._epmd.pid) <= {"127.0.0.1", "::1"}
    assert _listening(store.pid) == {"127.0.0.1"}


def test_secrets_are_for_the_owner_and_in_no_command_line(node: Broker, store: Store) -> None:
    for owner, secrets in (
        (node, [node.password]),
        (store, [store.secret_key, store.browser_password]),
    ):
        shown = Path(f"/proc/{owner.pid}/cmdline").read_text()
        assert not [secret for secret in secrets if secret in shown]
        assert min(len(secret) for secret in secrets) >= 32
    for folder in (node._folder, store.folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "secrets.json").stat().st_mode) == 0o600


def test_the_broker_wants_its_own_login(node: Broker) -> None:
    guest = f"amqp://guest:guest@127.0.0.1:{node.ports['amqp']}/%2F"
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        pika.BlockingConnection(pika.URLParameters(guest))
    _publish_lasting(node.url, b"in")
    assert _fetch(node.url) == b"in"


def test_the_broker_has_its_page_and_its_metrics(node: Broker) -> None:
    assert _get(node.management_url)[0] == 200
    assert _get(f"{node.management_url}/api/overview")[0] == 401
    status, metrics, _ = _get(f"http://127.0.0.1:{node.ports['prometheus']}/metrics")
    assert status == 200
    assert b"rabbitmq_identity_info" in metrics


def test_a_killed_broker_serves_its_folder_again(node: Broker) -> None:
    _publish_lasting(node.url, b"kept")
    url = node.url
    node.kill()
    again = Broker(node._folder)
    assert again.url == url
    again.start()
    try:
        again.wait_ready()
        assert _fetch(url) == b"kept"
        assert again.stop(30)
        assert not again.is_running
    finally:
        again.kill()
        node.start()
        node.wait_ready()


def test_a_killed_store_serves_its_folder_again(tmp_path: Path) -> None:
    first = Store(tmp_path / "store")
    first.start()
    first.wait_ready()
    objects = ObjectStore(_settings(first))
    objects.ensure_bucket()
    objects.create_bytes("clips/1", b"x" * 100_000, content_type="text/plain")
    first.kill()
    again = Store(tmp_path / "store")
    again.start()
    try:
        again.wait_ready()
        assert _settings(again) == _settings(first)
        assert ObjectStore(_settings(again)).read("clips/1") == b"x" * 100_000
        assert again.stop(20)
    finally:
        again.kill()
    left = [port for port in again.ports.values() if list(Path("/tmp").glob(f"seaweed*-{port}.*"))]
    assert not left


def test_no_object_is_shown_without_a_login(store: Store) -> None:
    objects = ObjectStore(_settings(store))
    objects.ensure_bucket()
    objects.create_bytes("clips/private", b"children", content_type="text/plain")
    ports = store.ports
    for url in (
        f"{store.endpoint}/cradle/clips/private",
        f"http://127.0.0.1:{ports['filer']}/buckets/cradle/clips/private",
        f"http://127.0.0.1:{ports['filer']}/buckets/cradle/",
        f"http://127.0.0.1:{ports['browser']}/api/files/download?path=/buckets/cradle/clips/private",
        store.browser_url,
    ):
        status, content, _ = _get(url)
        assert status in {307, 401, 403}, url
        assert b"children" not in content


def test_the_bucket_browser_shows_and_changes_nothing(store: Store) -> None:
    objects = ObjectStore(_settings(store))
    objects.ensure_bucket()
    objects.create_bytes("clips/seen", b"a clip", content_type="text/plain")
    page = f"http://127.0.0.1:{store.ports['browser']}"
    session = _log_in(page, store.browser_user, store.browser_password)
    status, listing, _ = _get(f"{store.browser_url}/cradle/clips", Cookie=session)
    assert status == 200
    assert b"seen" in listing
    download = f"{page}/api/files/download?path=/buckets/cradle/clips/seen"
    assert _get(download, Cookie=session)[1] == b"a clip"
    connection = HTTPConnection("127.0.0.1", store.ports["browser"], timeout=10)
    connection.request(
        "DELETE",
        "/api/files/delete",
        json.dumps({"path": "/buckets/cradle/clips/seen"}),
        {"Cookie": session, "Content-Type": "application/json"},
    )
    assert connection.getresponse().status == 403
    connection.close()
    assert objects.read("clips/seen") == b"a clip"


def _log_in(page: str, user: str, password: str) -> str:
    _, form, headers = _get(f"{page}/login")
    cookie = headers["Set-Cookie"].partition(";")[0]
    token = form.decode().partition('name="csrf_token" value="')[2].partition('"')[0]
    connection = HTTPConnection("127.0.0.1", urlsplit(page).port, timeout=10)
    body = urlencode({"csrf_token": token, "username": user, "password": password})
    connection.request(
        "POST",
        "/login",
        body,
        {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"},
    )
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 303
    assert answer.getheader("Location") == "/admin"
    return (answer.getheader("Set-Cookie") or "").partition(";")[0]


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=str(port)):
            Broker(tmp_path / "broker", {"amqp": port})
        with pytest.raises(Misconfigured, match=str(port)):
            Store(tmp_path / "store", {"s3": port})


def test_a_missing_broker_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "_SERVER", tmp_path / "none")
    with pytest.raises(MissingProgram, match="apt-get install rabbitmq-server"):
        Broker(tmp_path / "broker")


def test_a_missing_store_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgram, match="make setup"):
        Store(tmp_path / "store")


def test_a_broker_that_cannot_start_says_so_at_once(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker")
    (tmp_path / "broker" / "rabbitmq.conf").write_text("no.such.key = 1\n")
    broker.start()
    try:
        with pytest.raises(ChildFailed, match=r"broker ended"):
            broker.wait_ready(40)
    finally:
        broker.kill()


def test_the_broker_runs_as_an_ordinary_user_too(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("everything here runs as an ordinary user already")
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*nobody, "test", "-r", __file__], check=False).returncode:
        pytest.skip("this folder is closed to other users")
    folder = Path(tempfile.mkdtemp())  # pytest's own are closed to other users
    os.chown(folder, 65534, 65534)
    code = (
        "import sys, pathlib; from deploy.local.broker import Broker\n"
        "broker = Broker(pathlib.Path(sys.argv[1])); broker.start(); broker.wait_ready()\n"
        "print(open(f'/proc/{broker.pid}/status').read().split('Uid:')[1].split()[0])\n"
        "broker.kill()"
    )
    try:
        done = subprocess.run(
            [*nobody, sys.executable, "-c", code, str(folder / "broker")],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "65534"


_OWNER = """
import sys, time, pathlib
from deploy.local.program import Program
program = Program("sleep", ["sleep", "1000"], folder=pathlib.Path(sys.argv[1]), environment={})
program.start()
print(program.pid, flush=True)
time.sleep(1000)
"""


def test_a_program_dies_with_its_owner(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    # Until then it is setpriv, which may not have asked for the signal yet.
    eventually(lambda: _text(Path(f"/proc/{pid}/comm")) == "sleep\n", 5, "the program")
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    eventually(lambda: _is_gone(pid), 5, "the end of the program")


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _shell(folder: Path, script: str) -> Program:
    return Program("shell", ["sh", "-c", script], folder=folder, environment={})


def test_a_program_that_does_not_listen_is_killed_with_its_group(tmp_path: Path) -> None:
    program = _shell(tmp_path, "trap '' TERM; sleep 1000 & echo $! > child; wait; sleep 1000")
    program.start()
    child = int(eventually(lambda: _text(tmp_path / "child"), 5))
    assert program.exit_code is None
    assert not program.stop(0.2)
    assert not program.is_running
    eventually(lambda: _is_gone(child), 5, "the end of its child")


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def test_a_program_that_ended_tells_how_and_can_start_again(tmp_path: Path) -> None:
    program = _shell(tmp_path, "echo first; echo the reason; exit 3")
    for _ in range(2):
        program.start()
        eventually(lambda: not program.is_running, 5)
        assert program.exit_code == 3
        with pytest.raises(ChildFailed, match="the reason"):
            program.require_running()
    assert program.stop(1)


def test_a_program_that_stops_when_asked_is_not_waited_for(tmp_path: Path) -> None:
    program = _shell(tmp_path, "sleep 1000 & wait")
    program.start()
    begun = time.monotonic()
    assert program.stop(20)
    assert time.monotonic() - begun < 5


def test_a_program_is_asked_to_stop_only_once(tmp_path: Path) -> None:
    program = _shell(
        tmp_path,
        "trap 'echo asked >> asked' TERM; touch ready; while true; do sleep 0.05; done",
    )
    for _ in range(2):
        program.start()
        eventually((tmp_path / "ready").exists, 30, "the program")
        program.ask_to_stop()
        eventually(lambda: _text(tmp_path / "asked"), 30, "the signal")
        assert not program.stop(1)
        assert _text(tmp_path / "asked") == "asked\n"
        (tmp_path / "asked").unlink()
        (tmp_path / "ready").unlink()
