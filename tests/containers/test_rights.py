"""What each stage must not be able to do, tried with its own login at the broker and the store.

That each can do what it must is shown by test_stack.py: it runs with the same logins.
"""

import io
from collections.abc import Callable
from typing import Any, Final

import pika
import pytest
from minio.error import S3Error
from pika.exceptions import ChannelClosedByBroker

from shared.topology import EVENTS, FRAMES
from tests.containers.stack import Stack
from tests.footage import CAMERA

pytestmark = pytest.mark.timeout(4000)

ACCESS_REFUSED: Final = 403
Attempt = Callable[[Any], object]


def publish(exchange: str, key: str) -> Attempt:
    def attempt(channel: Any) -> object:
        channel.confirm_delivery()
        return channel.basic_publish(exchange, key, b"{}")

    return attempt


def consume(queue: str) -> Attempt:
    return lambda channel: channel.basic_consume(queue, lambda *_: None)


def take(queue: str) -> Attempt:
    return lambda channel: channel.basic_get(queue)


def purge(queue: str) -> Attempt:
    return lambda channel: channel.queue_purge(queue)


def delete(queue: str) -> Attempt:
    return lambda channel: channel.queue_delete(queue)


def delete_exchange(exchange: str) -> Attempt:
    return lambda channel: channel.exchange_delete(exchange)


def declare(queue: str) -> Attempt:
    return lambda channel: channel.queue_declare(queue, durable=True)


def bind(queue: str, exchange: str, key: str) -> Attempt:
    return lambda channel: channel.queue_bind(queue, exchange, key)


ENCODER, ARCHIVER, STORED = f"encoder.{CAMERA}", f"archiver.{CAMERA}", f"stored.{CAMERA}"

AT_THE_BROKER: Final[list[tuple[str, str, Attempt]]] = [
    ("ingest", "speaks as the archiver", publish(EVENTS, f"archiver.{CAMERA}.stored")),
    ("ingest", "reads what is live", take(ENCODER)),
    ("ingest", "reads samples", take("analyzer")),
    ("ingest", "reads dead letters", take("lost")),
    ("ingest", "deletes an exchange", delete_exchange(FRAMES)),
    ("encoder", "speaks as ingest", publish(FRAMES, f"fragment.{CAMERA}")),
    ("encoder", "says that a clip is stored", publish(EVENTS, f"archiver.{CAMERA}.stored")),
    ("encoder", "takes fragments", consume(ARCHIVER)),
    ("encoder", "empties the archive's queue", purge(ARCHIVER)),
    ("encoder", "deletes the archive's queue", delete(ARCHIVER)),
    ("encoder", "hears of fragments", bind(ENCODER, FRAMES, f"fragment.{CAMERA}")),
    ("encoder", "sends past the exchanges", publish("", ARCHIVER)),
    ("archiver", "speaks as ingest", publish(FRAMES, f"fragment.{CAMERA}")),
    ("archiver", "speaks as the encoder", publish(EVENTS, f"encoder.{CAMERA}.state")),
    ("archiver", "reads what is live", take(ENCODER)),
    ("archiver", "reads its own words to ingest", take(STORED)),
    ("archiver", "reads dead letters", take("lost")),
    ("archiver", "deletes the janitor's queue", delete(STORED)),
    ("analyzer", "speaks as ingest", publish(FRAMES, f"sample.{CAMERA}")),
    ("analyzer", "says that a clip is stored", publish(EVENTS, f"archiver.{CAMERA}.stored")),
    ("analyzer", "takes fragments", take(ARCHIVER)),
    ("analyzer", "reads dead letters", take("lost")),
    ("viewer", "says that a clip is stored", publish(EVENTS, f"archiver.{CAMERA}.stored")),
    ("viewer", "speaks as ingest", publish(FRAMES, f"fragment.{CAMERA}")),
    ("viewer", "takes fragments", take(ARCHIVER)),
    ("viewer", "makes a queue of another stage", declare(f"archiver.{CAMERA}-2")),
    ("viewer", "deletes the archive's queue", delete(ARCHIVER)),
    ("viewer", "deletes an exchange", delete_exchange(EVENTS)),
]


@pytest.mark.parametrize(
    ("user", "attempt"),
    [pytest.param(user, attempt, id=f"{user} {what}") for user, what, attempt in AT_THE_BROKER],
)
def test_the_broker_refuses(stack: Stack, user: str, attempt: Attempt) -> None:
    with pytest.raises(ChannelClosedByBroker) as refused:
        _at_the_broker(stack, user, attempt)
    assert refused.value.reply_code == ACCESS_REFUSED, refused.value


def test_the_broker_knows_nobody_by_default(stack: Stack) -> None:
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        _connect(stack, "guest", "guest")


def _at_the_broker(stack: Stack, user: str, attempt: Attempt) -> None:
    connection = _connect(stack, user, stack.secrets[f"BROKER_{user.upper()}_PASSWORD"])
    try:
        attempt(connection.channel())
    finally:
        connection.close()


def _connect(stack: Stack, user: str, password: str) -> Any:
    login = pika.PlainCredentials(user, password)
    host = stack.address_of("rabbitmq")
    return pika.BlockingConnection(
        pika.ConnectionParameters(host, 5672, "/", login, socket_timeout=10)
    )


CLIP, NOTE, CUSTODY = f"clips/{CAMERA}/x", f"analysis/{CAMERA}/x", f"custody/{CAMERA}/x"

IN_THE_STORE: Final = [
    ("ingest", "put", "cradle", CLIP),
    ("ingest", "remove", "cradle", CLIP),
    ("ingest", "get", "cradle", NOTE),
    ("ingest", "remove", "cradle", CUSTODY),
    ("ingest", "put", "cradle-live", f"{CAMERA}/x"),
    ("encoder", "get", "cradle", CLIP),
    ("encoder", "list", "cradle", "clips/"),
    ("encoder", "put", "cradle", CLIP),
    ("encoder", "put", "cradle-frames", f"{CAMERA}/x"),
    ("encoder", "remove", "cradle-frames", f"{CAMERA}/x"),
    ("archiver", "put", "cradle", NOTE),
    ("archiver", "remove", "cradle", CUSTODY),
    ("archiver", "put", "cradle", "holds/x"),
    ("archiver", "remove", "cradle", "holds/x"),
    ("archiver", "put", "cradle-frames", f"{CAMERA}/x"),
    ("archiver", "remove", "cradle-frames", f"{CAMERA}/x"),
    ("archiver", "list", "cradle-live", ""),
    ("analyzer", "get", "cradle", CLIP),
    ("analyzer", "put", "cradle", CLIP),
    ("analyzer", "remove", "cradle", NOTE),
    ("analyzer", "put", "cradle", CUSTODY),
    ("analyzer", "remove", "cradle-frames", f"{CAMERA}/x"),
    ("viewer", "put", "cradle", CLIP),
    ("viewer", "remove", "cradle", CLIP),
    ("viewer", "remove", "cradle", NOTE),
    ("viewer", "put", "cradle-live", f"{CAMERA}/x"),
    ("viewer", "get", "cradle", "budget/x"),
    ("operator", "put", "cradle", CLIP),
    ("operator", "remove", "cradle", CLIP),
    ("operator", "remove", "cradle", "holds/x"),
    ("operator", "put", "cradle-live", f"{CAMERA}/x"),
]


@pytest.mark.parametrize(("user", "what", "bucket", "key"), IN_THE_STORE)
def test_the_store_refuses(stack: Stack, user: str, what: str, bucket: str, key: str) -> None:
    client = stack.store(user)
    attempts: dict[str, Callable[[], object]] = {
        "put": lambda: client.put_object(bucket, key, io.BytesIO(b"x"), 1),
        "get": lambda: client.get_object(bucket, key).close(),
        "remove": lambda: client.remove_object(bucket, key),
        "list": lambda: list(client.list_objects(bucket, key, recursive=True)),
    }
    with pytest.raises(S3Error) as refused:
        attempts[what]()
    assert refused.value.code == "AccessDenied"


@pytest.mark.parametrize("user", ["ingest", "viewer"])
def test_nobody_but_the_administrator_makes_buckets(stack: Stack, user: str) -> None:
    client = stack.store(user)
    with pytest.raises(S3Error) as refused:
        client.make_bucket("another")
    assert refused.value.code == "AccessDenied"
