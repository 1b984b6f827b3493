"""The broker and the object store that tests talk to.

Private ones of this test session by default; with `CRADLE_TEST_SERVICES=containers` RabbitMQ and
Silo from testcontainers, where a Docker engine is reachable. Tests see the same either way: a
fresh virtual host and a fresh bucket each.
"""

import base64
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlsplit

from minio import Minio
from minio.deleteobjects import DeleteObject
from pydantic import SecretStr

from deploy.local.broker import Broker
from deploy.local.store import Store
from shared.config import ArchiveSettings
from shared.objectstore import ObjectStore

RABBITMQ_IMAGE = os.environ.get("CRADLE_TEST_RABBITMQ_IMAGE", "rabbitmq:4.3-management")
"""Another release by its image: Cradle promises 3.10.8 to 4.3."""
STORE_IMAGE = "pgsty/silo:RELEASE.2026-09-16T00-00-00Z"
"""Silo, the fork of MinIO that is maintained: what deploy/compose runs."""
_PAGE_PORT = 15672


def in_containers() -> bool:
    """Whether the services come from testcontainers."""
    return os.environ.get("CRADLE_TEST_SERVICES") == "containers"


@dataclass(frozen=True)
class BrokerService:
    """A running RabbitMQ with its management plugin."""

    address: str
    """host:port of AMQP."""
    management_url: str
    user: str
    password: str
    metrics_url: str | None = None
    """Where its Prometheus plugin answers, if it is on."""

    def url_of(self, virtual_host: str) -> str:
        login = f"{quote(self.user)}:{quote(self.password)}"
        return f"amqp://{login}@{self.address}/{quote(virtual_host, safe='')}"

    @property
    def url(self) -> str:
        """Of the default virtual host."""
        return self.url_of("/")

    @contextmanager
    def virtual_host(self) -> Iterator[str]:
        """A fresh virtual host, by its address, for a while."""
        name = f"test-{secrets.token_hex(6)}"
        self.call("PUT", f"/api/vhosts/{name}")
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        self.call("PUT", f"/api/permissions/{name}/{self.user}", rights)
        try:
            yield self.url_of(name)
        finally:
            self.call("DELETE", f"/api/vhosts/{name}")

    def call(self, method: str, path: str, body: object = None) -> bytes:
        """Ask the management API; the body goes out as JSON. Fails on any error status."""
        where = urlsplit(self.management_url)
        connection = HTTPConnection(where.hostname or "", where.port, timeout=20)
        login = f"{self.user}:{self.password}".encode()
        headers = {
            "Authorization": "Basic " + _base64(login),
            "Content-Type": "application/json",
        }
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        assert answer.status < 300, f"{method} {path}: {answer.status} {content!r}"
        return content


@dataclass(frozen=True)
class StoreService:
    """A running S3 server."""

    endpoint: str
    access_key: str
    secret_key: str

    @contextmanager
    def bucket(self) -> Iterator[ArchiveSettings]:
        """Settings with a fresh bucket, for a while."""
        settings = ArchiveSettings(
            endpoint=self.endpoint,
            access_key=self.access_key,
            secret_key=SecretStr(self.secret_key),
            bucket=f"test-{secrets.token_hex(6)}",
        )
        ObjectStore(settings).ensure_bucket()
        try:
            yield settings
        finally:
            self._remove_bucket(settings.bucket)

    def _remove_bucket(self, bucket: str) -> None:
        where = urlsplit(self.endpoint)
        client = Minio(where.netloc, self.access_key, self.secret_key, secure=False)
        names = (each.object_name for each in client.list_objects(bucket, recursive=True))
        errors = list(client.remove_objects(bucket, (DeleteObject(name or "") for name in names)))
        assert not errors, errors
        client.remove_bucket(bucket)


@contextmanager
def running_broker(folder: Path) -> Iterator[BrokerService]:
    """RabbitMQ for a test session."""
    if in_containers():
        from testcontainers.community.rabbitmq import RabbitMqContainer  # noqa: PLC0415

        # Docker may publish on every address of the machine, so not the password that all know.
        broker = RabbitMqContainer(RABBITMQ_IMAGE, username="cradle", password=secrets.token_hex())
        with broker.with_exposed_ports(_PAGE_PORT) as container:
            host = container.get_container_host_ip()
            yield BrokerService(
                f"{host}:{container.get_exposed_port(container.port)}",
                f"http://{host}:{container.get_exposed_port(_PAGE_PORT)}",
                container.username,
                container.password,
            )
        return
    node = Broker(folder)
    node.start()
    try:
        node.wait_ready()
        address = f"127.0.0.1:{node.ports['amqp']}"
        metrics_url = f"http://127.0.0.1:{node.ports['prometheus']}"
        yield BrokerService(address, node.management_url, node.user, node.password, metrics_url)
    finally:
        node.kill()  # its folder goes too: nothing to save


@contextmanager
def running_store(folder: Path) -> Iterator[StoreService]:
    """An S3 server for a test session."""
    if in_containers():
        from testcontainers.community.minio import MinioContainer  # noqa: PLC0415

        container = MinioContainer(STORE_IMAGE, access_key="cradle", secret_key=secrets.token_hex())
        # The names that are read since 2021; testcontainers still sets the old ones.
        container.with_env("MINIO_ROOT_USER", container.access_key)
        container.with_env("MINIO_ROOT_PASSWORD", container.secret_key)
        with container:
            config = container.get_config()
            yield StoreService(
                f"http://{config['endpoint']}", config["access_key"], config["secret_key"]
            )
        return
    store = Store(folder)
    store.start()
    try:
        store.wait_ready()
        yield StoreService(store.endpoint, store.access_key, store.secret_key)
    finally:
        store.kill()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
