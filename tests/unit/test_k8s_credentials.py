"""The Secrets that are made: all that one node needs, new each time, of use to the workers."""

import base64
import hashlib
import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from deploy.k8s.credentials import CARETAKER, manifests, rotated
from deploy.rights.broker import OPERATOR, RIGHTS, Topics
from deploy.rights.store import GRANTS, policy_of
from shared.messages import Stage
from shared.topology import EXCHANGES
from shared.users import Users
from shared.viewersettings import ViewerSettings
from tests.k8s.manifests import FOLDER, Manifest, built, of_kind, values

FROM_PEOPLE = {"cradle-cameras"}
PASSWORD = "correct horse battery"


def made(*, with_store: bool = True) -> dict[str, dict[str, str]]:
    found = manifests("관리자", PASSWORD, with_store=with_store)
    return {each["metadata"]["name"]: each["stringData"] for each in found}


def referred_to(manifest: Manifest) -> set[tuple[str, str | None]]:
    keys = {(each["name"], each["key"]) for each in values(manifest, "secretKeyRef")}
    whole = {(each["secretName"], None) for each in values(manifest, "secret")}
    return keys | whole


def test_every_secret_of_one_node_is_made_with_its_keys() -> None:
    secrets = made()
    for manifest in built("overlays/single-node"):
        for name, key in referred_to(manifest):
            assert name in secrets
            assert key is None or secrets[name][key]


def test_with_an_outside_store_no_key_of_it_is_made() -> None:
    assert not [name for name in made(with_store=False) if "store" in name]


def test_all_of_them_are_new_each_time() -> None:
    first, second = made(), made()
    fixed = {name: {"username"} for name in ("cradle-broker-admin", "broker-default-user")}
    for name, data in first.items():
        for key, value in data.items():
            if key != "access_key" and key not in fixed.get(name, ()):
                assert value != second[name][key], (name, key)


def test_the_broker_knows_each_stage_by_the_password_of_its_address() -> None:
    secrets = made()
    told = json.loads(secrets["cradle-broker-definitions"]["definitions.json"])
    users = {user["name"]: user for user in told["users"]}
    assert users.keys() == {*RIGHTS, "admin", CARETAKER}
    for name in RIGHTS:
        address = urlsplit(secrets[f"cradle-broker-{name}"]["url"])
        assert (address.hostname, address.port) == ("broker.cradle.svc", 5672)
        assert (address.username, unquote(address.path)) == (name, "//")
        assert is_password_of(users[name], address.password)
        assert users[name]["tags"] == []


def test_rabbitmqs_operator_finds_its_login_in_the_secret_where_it_looks_for_one() -> None:
    """`readDefaultUserCredentials` and the init container of rabbitmq/cluster-operator."""
    (cluster,) = of_kind("overlays/production", "RabbitmqCluster")
    (secret,) = (
        each
        for each in manifests("관리자", PASSWORD, with_store=False)
        if each["metadata"]["name"] == f"{cluster['metadata']['name']}-default-user"
    )
    # Its cache holds nothing without this label, and what it does not see it cannot keep.
    assert secret["metadata"]["labels"] == {"app.kubernetes.io/part-of": "rabbitmq"}
    data = secret["stringData"]
    assert data["default_user.conf"] == (
        f"default_user = {data['username']}\ndefault_pass = {data['password']}\n"
    )


def test_rabbitmqs_operator_may_look_and_touch_nothing() -> None:
    secrets = made()
    told = json.loads(secrets["cradle-broker-definitions"]["definitions.json"])
    (user,) = (each for each in told["users"] if each["name"] == CARETAKER)
    assert user["tags"] == ["monitoring"]
    assert is_password_of(user, secrets["broker-default-user"]["password"])
    rights = [*told["permissions"], *told["topic_permissions"]]
    assert CARETAKER not in {each["user"] for each in rights}


def test_the_password_of_rabbitmqs_operator_is_rotated_like_the_others() -> None:
    before = made()["cradle-broker-definitions"]["definitions.json"]
    kept = {"data": {"definitions.json": base64.b64encode(before.encode()).decode()}}
    after = {each["metadata"]["name"]: each["stringData"] for each in rotated(CARETAKER, kept)}
    assert after.keys() == {"broker-default-user", "cradle-broker-definitions"}
    told = json.loads(after["cradle-broker-definitions"]["definitions.json"])
    (user,) = (each for each in told["users"] if each["name"] == CARETAKER)
    assert is_password_of(user, after["broker-default-user"]["password"])
    assert user["tags"] == ["monitoring"]


def is_password_of(user: dict[str, Any], password: str | None) -> bool:
    hashed = base64.b64decode(user["password_hash"])
    return hashed[4:] == hashlib.sha256(hashed[:4] + (password or "").encode()).digest()


@pytest.mark.parametrize("name", [Stage.ENCODER.value, OPERATOR])
def test_a_password_that_is_rotated_is_the_one_that_the_broker_loads_at_its_next_start(
    name: str,
) -> None:
    before = made()["cradle-broker-definitions"]["definitions.json"]
    kept = {"data": {"definitions.json": base64.b64encode(before.encode()).decode()}}
    after = {each["metadata"]["name"]: each["stringData"] for each in rotated(name, kept)}
    assert after.keys() == {f"cradle-broker-{name}", "cradle-broker-definitions"}
    old, new = (
        json.loads(before),
        json.loads(after["cradle-broker-definitions"]["definitions.json"]),
    )
    users = {user["name"]: user for user in new["users"]}
    password = urlsplit(after[f"cradle-broker-{name}"]["url"]).password
    assert is_password_of(users[name], password)
    others = [user for user in old["users"] if user["name"] != name]
    assert [user for user in new["users"] if user["name"] != name] == others
    assert {**new, "users": []} == {**old, "users": []}


def test_a_user_that_the_broker_does_not_know_yet_is_added_with_its_rights() -> None:
    told = json.loads(made()["cradle-broker-definitions"]["definitions.json"])
    for kind in ("users", "permissions", "topic_permissions"):
        told[kind] = [each for each in told[kind] if OPERATOR not in each.values()]
    kept = {"data": {"definitions.json": base64.b64encode(json.dumps(told).encode()).decode()}}
    after = {each["metadata"]["name"]: each["stringData"] for each in rotated(OPERATOR, kept)}
    new = json.loads(after["cradle-broker-definitions"]["definitions.json"])
    assert OPERATOR in {user["name"] for user in new["users"]}
    assert OPERATOR in {each["user"] for each in new["permissions"]}


def test_who_is_named_can_log_in_to_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    data = made()["cradle-viewer"]
    settings = ViewerSettings(users=json.loads(data["users"]), secret=data["secret"])
    user = Users(settings).check("관리자", PASSWORD)
    assert user is not None
    assert user.role == "operator"


def test_the_broker_gives_each_user_its_rights_and_makes_the_exchanges_for_them() -> None:
    told = json.loads(made()["cradle-broker-definitions"]["definitions.json"])
    given = {each["user"]: each for each in told["permissions"]}
    for stage, may in RIGHTS.items():
        assert (given[stage]["configure"], given[stage]["write"], given[stage]["read"]) == (
            may.configure,
            may.write,
            may.read,
        )
        topics = {
            each["exchange"]: Topics(each["write"], each["read"])
            for each in told["topic_permissions"]
            if each["user"] == stage
        }
        assert topics == {name: may.topics.get(name, Topics()) for name in EXCHANGES}
    assert {each["name"] for each in told["exchanges"]} == set(EXCHANGES)
    assert all(each["type"] == "topic" and each["durable"] for each in told["exchanges"])


@pytest.mark.parametrize("user", list(GRANTS))
def test_the_policies_of_the_store_are_the_rights_that_compose_gives(user: str) -> None:
    file = FOLDER / "overlays" / "single-node" / "policies" / f"{user}.json"
    assert json.loads(file.read_text(encoding="utf-8")) == policy_of(user)


def test_who_runs_commands_may_try_out_the_live_bucket_and_write_nothing_else_there() -> None:
    """`cradle check` does (LiveStore.probe)."""
    writing = [
        each["Resource"]
        for each in policy_of(OPERATOR)["Statement"]
        if "s3:PutObject" in each["Action"] and "cradle-live" in str(each["Resource"])
    ]
    assert writing == [["arn:aws:s3:::cradle-live/probe-*"]]
