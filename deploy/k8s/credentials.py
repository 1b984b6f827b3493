"""Makes every secret that the manifests refer to, and prints them for `kubectl apply -f -`.

Users of the broker and keys of the store are one a stage, with random passwords and the least
rights (`RIGHTS` here, and for the store `overlays/single-node/policies`). Nothing is kept: run it
once, for a second run makes all of them anew. What comes from people or from elsewhere (passwords
of cameras, the provider's key, keys of somebody else's store) is not made: README.md says how.
"""

import argparse
import base64
import getpass
import hashlib
import json
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shared.messages import Stage
from shared.topology import EVENTS
from shared.users import hash_of

NAMESPACE = "cradle"
_ANY_EXCHANGE = r"cradle\.(frames|events|lost)"


@dataclass(frozen=True)
class Rights:
    """What a user of the broker may do, as regular expressions of names."""

    declares: str
    """Queues. Whoever comes first makes them and their bindings, so each may make what it needs."""
    consumes: str
    """Some of these queues."""
    publishes: str
    """To these of Cradle's exchanges; each user may make them and bind from all."""

    def as_told(self) -> dict[str, str]:
        """In the broker's own words: to bind one must be allowed to write to the queue."""
        return {
            "configure": rf"^({_ANY_EXCHANGE}|{self.declares})$",
            "write": rf"^(cradle\.({self.publishes})|{self.declares})$",
            "read": rf"^({_ANY_EXCHANGE}|{self.consumes})$",
        }


# Who declares `archiver.*` must be allowed to read it and to write to `cradle.lost`, which it names
# as its dead-letter exchange: RabbitMQ lets nobody forward what he may not read.
RIGHTS = {
    Stage.INGEST: Rights(
        declares=r"(encoder|archiver|stored|seat\.ingest)\..+|presence\.ingest|analyzer|lost",
        consumes=r"(archiver|stored|seat\.ingest)\..+|presence\.ingest",
        publishes="frames|events|lost",
    ),
    Stage.ENCODER: Rights(
        declares=r"encoder\..+|presence\.encoder",
        consumes=r"encoder\..+|presence\.encoder",
        publishes="events|lost",
    ),
    Stage.ARCHIVER: Rights(
        declares=r"(seat\.)?archiver\..+|presence\.archiver",
        consumes=r"(seat\.)?archiver\..+|presence\.archiver",
        publishes="events|lost",
    ),
    Stage.ANALYZER: Rights(declares="analyzer", consumes="analyzer", publishes="events|lost"),
    # The system view asks for the state of every queue by declaring it.
    Stage.VIEWER: Rights(
        declares=r"(viewer|encoder|archiver|seat\.(ingest|archiver))\..+"
        r"|presence\.(ingest|encoder|archiver)|analyzer|lost",
        consumes=r"(viewer|archiver)\..+",
        publishes="events|lost",  # log-outs, to the other replicas
    ),
}


def definitions(passwords: dict[Stage, str], admin_password: str) -> dict[str, Any]:
    """What RabbitMQ loads at its start: users, and what each may do."""
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            _user("admin", admin_password, ["administrator"]),
            *(_user(stage.value, password, []) for stage, password in passwords.items()),
        ],
        "permissions": [
            {"user": "admin", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
            *(
                {"user": stage.value, "vhost": "/", **rights.as_told()}
                for stage, rights in RIGHTS.items()
            ),
        ],
        "topic_permissions": [
            # The page faces people: it tells its replicas of log-outs, and nobody of clips.
            {
                "user": Stage.VIEWER.value,
                "vhost": "/",
                "exchange": EVENTS,
                "write": rf"^{Stage.VIEWER}\.",
                "read": ".*",
            },
        ],
    }


def _user(name: str, password: str, tags: list[str]) -> dict[str, Any]:
    salt = secrets.token_bytes(4)
    digest = hashlib.sha256(salt + password.encode()).digest()
    return {
        "name": name,
        "tags": tags,
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "password_hash": base64.b64encode(salt + digest).decode(),
    }


def manifests(page_user: str, page_password: str, *, with_store: bool) -> Iterator[dict[str, Any]]:
    """The Secrets, with new random words. `with_store`: keys for a store of our own as well."""
    passwords = {stage: secrets.token_urlsafe(24) for stage in Stage}
    admin_password = secrets.token_urlsafe(24)
    for stage, password in passwords.items():
        url = f"amqp://{stage}:{password}@broker.{NAMESPACE}.svc:5672/%2F"
        yield _secret(f"cradle-broker-{stage}", {"url": url})
        if with_store:
            yield _secret(f"cradle-store-{stage}", _key(f"cradle-{stage}"))
    if with_store:
        yield _secret("cradle-store-root", _key("admin"))
    yield _secret("cradle-broker-admin", {"username": "admin", "password": admin_password})
    told = json.dumps(definitions(passwords, admin_password), indent=1)
    yield _secret("cradle-broker-definitions", {"definitions.json": told})
    user = {"name": page_user, "role": "operator", "password_hash": hash_of(page_password)}
    yield _secret(
        "cradle-viewer", {"secret": secrets.token_urlsafe(48), "users": json.dumps([user])}
    )


def _key(access_key: str) -> dict[str, str]:
    return {"access_key": access_key, "secret_key": secrets.token_urlsafe(30)}


def _secret(name: str, data: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "stringData": data,
    }


def main() -> None:
    """Ask for the first user's password and print the Secrets, as JSON, to standard output."""
    parser = argparse.ArgumentParser(description="Makes the Secrets of deploy/k8s.")
    parser.add_argument("--user", default="operator", help="who may log in to the page first")
    parser.add_argument(
        "--external-store", action="store_true", help="make no keys: they come with the store"
    )
    arguments = parser.parse_args()
    password = getpass.getpass(f"password of {arguments.user} for the page: ")
    made = manifests(arguments.user, password, with_store=not arguments.external_store)
    json.dump({"apiVersion": "v1", "kind": "List", "items": list(made)}, sys.stdout)


if __name__ == "__main__":
    main()
