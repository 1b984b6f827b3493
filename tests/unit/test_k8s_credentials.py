"""The Secrets that are made: all that one node needs, new each time, of use to the workers."""

import base64
import hashlib
import json
from urllib.parse import unquote, urlsplit

import pytest

from deploy.k8s.credentials import manifests
from deploy.rights.broker import RIGHTS, Topics
from deploy.rights.store import policy_of
from shared.messages import Stage
from shared.topology import EXCHANGES
from shared.users import Users
from shared.viewersettings import ViewerSettings
from tests.k8s.manifests import FOLDER, Manifest, built, values

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
    fixed = {"cradle-broker-admin": {"username"}}
    for name, data in first.items():
        for key, value in data.items():
            if key != "access_key" and key not in fixed.get(name, ()):
                assert value != second[name][key], (name, key)


def test_the_broker_knows_each_stage_by_the_password_of_its_address() -> None:
    secrets = made()
    told = json.loads(secrets["cradle-broker-definitions"]["definitions.json"])
    users = {user["name"]: user for user in told["users"]}
    for stage in Stage:
        address = urlsplit(secrets[f"cradle-broker-{stage}"]["url"])
        assert (address.hostname, address.port) == ("broker.cradle.svc", 5672)
        assert (address.username, unquote(address.path)) == (stage, "//")
        hashed = base64.b64decode(users[stage]["password_hash"])
        password = (address.password or "").encode()
        assert hashed[4:] == hashlib.sha256(hashed[:4] + password).digest()
        assert users[stage]["tags"] == []
    assert "guest" not in users


def test_who_is_named_can_log_in_to_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    data = made()["cradle-viewer"]
    settings = ViewerSettings(users=json.loads(data["users"]), secret=data["secret"])
    user = Users(settings).check("관리자", PASSWORD)
    assert user is not None
    assert user.role == "operator"


def test_the_broker_gives_each_stage_its_rights_and_makes_the_exchanges_for_them() -> None:
    told = json.loads(made()["cradle-broker-definitions"]["definitions.json"])
    given = {each["user"]: each for each in told["permissions"]}
    for stage in Stage:
        may = RIGHTS[stage]
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


@pytest.mark.parametrize("stage", list(Stage))
def test_the_policies_of_the_store_are_the_rights_that_compose_gives(stage: Stage) -> None:
    file = FOLDER / "overlays" / "single-node" / "policies" / f"{stage}.json"
    assert json.loads(file.read_text(encoding="utf-8")) == policy_of(stage)
