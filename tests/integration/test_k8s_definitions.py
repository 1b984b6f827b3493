"""What `deploy.k8s.credentials` makes for the broker, loaded by one: logins, and a rotated one."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from deploy.k8s.credentials import ADMINISTRATOR, CARETAKER, manifests, rotated
from deploy.rights.broker import RIGHTS
from shared.errors import Misconfigured
from shared.link import Link
from shared.messages import Stage
from shared.topology import EXCHANGES, encoder_queue
from tests.services import BrokerService


@pytest.fixture
def secrets(broker: BrokerService) -> Iterator[dict[str, dict[str, str]]]:
    """The Secrets, and a broker that has loaded its own."""
    assert broker.user != ADMINISTRATOR
    found = manifests("operator", "correct horse battery", with_store=False)
    made = {each["metadata"]["name"]: each["stringData"] for each in found}
    load(broker, made)
    yield made
    for user in (*RIGHTS, ADMINISTRATOR, CARETAKER):
        broker.call("DELETE", f"/api/users/{user}")
    for exchange in EXCHANGES:
        broker.call("DELETE", f"/api/exchanges/%2F/{exchange}")


def load(broker: BrokerService, secrets: dict[str, dict[str, str]]) -> None:
    told = json.loads(secrets["cradle-broker-definitions"]["definitions.json"])
    broker.call("POST", "/api/definitions", told)


def log_in(broker: BrokerService, url: str) -> Link:
    login = urlsplit(url).netloc.rpartition("@")[0]
    return Link(SecretStr(f"amqp://{login}@{broker.address}/%2F"), "test-k8s")


def test_everybody_is_let_in_by_the_address_that_is_made(
    broker: BrokerService, secrets: dict[str, dict[str, str]]
) -> None:
    for user in RIGHTS:
        with log_in(broker, secrets[f"cradle-broker-{user}"]["url"]) as link:
            link.check()


def test_rabbitmqs_operator_is_told_what_it_asks_of_a_node(
    broker: BrokerService, secrets: dict[str, dict[str, str]]
) -> None:
    """Its `RabbitmqClient`; what is deprecated only newer brokers tell."""
    login = secrets["broker-default-user"]
    watched = replace(broker, user=login["username"], password=login["password"])
    assert json.loads(watched.call("GET", "/api/overview"))["rabbitmq_version"]
    path = "/api/health/checks/node-is-quorum-critical"
    assert json.loads(watched.call("GET", path))["status"] == "ok"


def test_a_rotated_password_is_let_in_with_the_same_rights_and_the_old_one_no_more(
    broker: BrokerService, secrets: dict[str, dict[str, str]]
) -> None:
    text = secrets["cradle-broker-definitions"]["definitions.json"]
    kept = {"data": {"definitions.json": base64.b64encode(text.encode()).decode()}}
    found = rotated(Stage.ENCODER, kept)
    after = {each["metadata"]["name"]: each["stringData"] for each in found}
    load(broker, after)
    with log_in(broker, after["cradle-broker-encoder"]["url"]) as link:
        link.declare(encoder_queue("camera-1"))
    broker.call("DELETE", "/api/queues/%2F/encoder.camera-1")
    with pytest.raises(Misconfigured), log_in(broker, secrets["cradle-broker-encoder"]["url"]):
        pass
    with log_in(broker, secrets["cradle-broker-archiver"]["url"]) as link:
        link.check()
