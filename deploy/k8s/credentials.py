"""Makes every secret that the manifests refer to, and prints them for `kubectl apply -f -`.

Users of the broker and keys of the store are one a stage and one for `operator`, who runs `cradle`
commands, with random passwords and the least rights (`deploy/rights`; for the store also as
`overlays/single-node/policies`). Beside them the broker has a user for people and one for
RabbitMQ's operator. Nothing is kept: run it once, for a second run makes all of them anew.
`--rotate USER` reads the broker's definitions and changes one password in them. What comes from
people or from elsewhere (passwords of cameras, the provider's key, keys of somebody else's store)
is not made: README.md says how.
"""

import argparse
import base64
import getpass
import hashlib
import json
import secrets
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from deploy.rights.broker import RIGHTS, Topics
from shared.topology import EXCHANGES
from shared.users import hash_of

NAMESPACE = "cradle"
VIRTUAL_HOST = "/"
ADMINISTRATOR = "admin"
CARETAKER = "cluster-operator"
"""RabbitMQ's operator, which asks each node for its version and whether a quorum hangs on it. Where
definitions are loaded the broker does not make the user that the operator thinks up for itself
(rabbitmq/cluster-operator#2095); but it keeps the Secret that is there."""
TAGS = {ADMINISTRATOR: ["administrator"], CARETAKER: ["monitoring"]}
"""What a user may see on the broker's page, beside its rights."""
DEFINITIONS = "definitions.json"
"""Key of the Secret cradle-broker-definitions."""


def definitions(users: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What RabbitMQ loads at its start: these users, and what each name in RIGHTS may do."""
    place = {"vhost": VIRTUAL_HOST}
    administrator = {"user": ADMINISTRATOR, "configure": ".*", "write": ".*", "read": ".*"}
    return {
        "vhosts": [{"name": VIRTUAL_HOST}],
        "exchanges": [
            {**place, "name": name, "type": "topic", "durable": True, "auto_delete": False}
            | {"internal": False, "arguments": {}}
            for name in EXCHANGES
        ],
        "users": list(users),
        "permissions": [
            {**place, **administrator},
            *(
                {**place, "user": str(user), "configure": may.configure}
                | {"write": may.write, "read": may.read}
                for user, may in RIGHTS.items()
            ),
        ],
        "topic_permissions": [
            {**place, "user": str(user), "exchange": exchange}
            | asdict(may.topics.get(exchange, Topics()))
            for user, may in RIGHTS.items()
            for exchange in EXCHANGES
        ],
    }


def _user(name: str, password: str) -> dict[str, Any]:
    salt = secrets.token_bytes(4)
    digest = hashlib.sha256(salt + password.encode()).digest()
    return {
        "name": name,
        "tags": TAGS.get(name, []),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "password_hash": base64.b64encode(salt + digest).decode(),
    }


def manifests(page_user: str, page_password: str, *, with_store: bool) -> Iterator[dict[str, Any]]:
    """The Secrets, with new random words. `with_store`: keys for a store of our own as well."""
    admin_password = secrets.token_urlsafe(24)
    users = [_user(ADMINISTRATOR, admin_password)]
    for name in (*map(str, RIGHTS), CARETAKER):
        password = secrets.token_urlsafe(24)
        users.append(_user(name, password))
        yield _login(name, password)
    if with_store:
        for name in map(str, RIGHTS):
            yield _secret(f"cradle-store-{name}", _key(f"cradle-{name}"))
        yield _secret("cradle-store-root", _key(ADMINISTRATOR))
    login = {"username": ADMINISTRATOR, "password": admin_password}
    yield _secret("cradle-broker-admin", login)
    yield _told(users)
    user = {"name": page_user, "role": "operator", "password_hash": hash_of(page_password)}
    yield _secret(
        "cradle-viewer", {"secret": secrets.token_urlsafe(48), "users": json.dumps([user])}
    )


def rotated(name: str, kept: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The two Secrets that change with the password of one user of the broker.

    `kept` is the Secret cradle-broker-definitions as the cluster has it: the others keep what they
    have, and a user that it does not know yet is added. Raises KeyError, ValueError if it is not.
    """
    told = json.loads(base64.b64decode(kept["data"][DEFINITIONS]))
    password = secrets.token_urlsafe(24)
    users = {user["name"]: user for user in told["users"]} | {name: _user(name, password)}
    yield _login(name, password)
    yield _told(users.values())


def _login(name: str, password: str) -> dict[str, Any]:
    if name != CARETAKER:
        url = f"amqp://{name}:{password}@broker.{NAMESPACE}.svc:5672/%2F"
        return _secret(f"cradle-broker-{name}", {"url": url})
    # As the operator would have made it; it finds by label what it may look after.
    file = f"default_user = {name}\ndefault_pass = {password}\n"
    data = {"username": name, "password": password, "default_user.conf": file}
    secret = _secret("broker-default-user", data)
    secret["metadata"]["labels"] = {"app.kubernetes.io/part-of": "rabbitmq"}
    return secret


def _told(users: Iterable[dict[str, Any]]) -> dict[str, Any]:
    text = json.dumps(definitions(users), indent=1)
    return _secret("cradle-broker-definitions", {DEFINITIONS: text})


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
    """Print the Secrets, as JSON, to standard output; first ask for the page's first password."""
    parser = argparse.ArgumentParser(description="Makes the Secrets of deploy/k8s.")
    parser.add_argument("--user", default="operator", help="who may log in to the page first")
    parser.add_argument(
        "--external-store", action="store_true", help="make no keys: they come with the store"
    )
    parser.add_argument(
        "--rotate",
        metavar="USER",
        choices=[*map(str, RIGHTS), CARETAKER],
        help="only a new password of this user of the broker; the Secret cradle-broker-definitions"
        " is read, as JSON, from standard input",
    )
    arguments = parser.parse_args()
    if arguments.rotate:
        made = rotated(arguments.rotate, json.load(sys.stdin))
    else:
        password = getpass.getpass(f"password of {arguments.user} for the page: ")
        made = manifests(arguments.user, password, with_store=not arguments.external_store)
    json.dump({"apiVersion": "v1", "kind": "List", "items": list(made)}, sys.stdout)


if __name__ == "__main__":
    main()
