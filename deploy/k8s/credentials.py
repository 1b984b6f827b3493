"""Makes every secret that the manifests refer to, and prints them for `kubectl apply -f -`.

Users of the broker and keys of the store are one a stage, with random passwords and the least
rights (`deploy/rights`; for the store also as `overlays/single-node/policies`). Nothing is kept:
run it once, for a second run makes all of them anew. What comes from people or from elsewhere
(passwords of cameras, the provider's key, keys of somebody else's store) is not made: README.md
says how.
"""

import argparse
import base64
import getpass
import hashlib
import json
import secrets
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from deploy.rights.broker import RIGHTS, Topics
from shared.messages import Stage
from shared.topology import EXCHANGES
from shared.users import hash_of

NAMESPACE = "cradle"
VIRTUAL_HOST = "/"


def definitions(passwords: dict[Stage, str], admin_password: str) -> dict[str, Any]:
    """What RabbitMQ loads at its start: users, and what each may do."""
    place = {"vhost": VIRTUAL_HOST}
    administrator = {"user": "admin", "configure": ".*", "write": ".*", "read": ".*"}
    return {
        "vhosts": [{"name": VIRTUAL_HOST}],
        "exchanges": [
            {**place, "name": name, "type": "topic", "durable": True, "auto_delete": False}
            | {"internal": False, "arguments": {}}
            for name in EXCHANGES
        ],
        "users": [
            _user("admin", admin_password, ["administrator"]),
            *(_user(stage.value, password, []) for stage, password in passwords.items()),
        ],
        "permissions": [
            {**place, **administrator},
            *(
                {**place, "user": stage.value, "configure": may.configure}
                | {"write": may.write, "read": may.read}
                for stage, may in ((stage, RIGHTS[stage]) for stage in passwords)
            ),
        ],
        "topic_permissions": [
            {**place, "user": stage.value, "exchange": exchange}
            | asdict(RIGHTS[stage].topics.get(exchange, Topics()))
            for stage in passwords
            for exchange in EXCHANGES
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
