"""Users, sessions and wrong passwords, without a server."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.clock import SimulatedClock
from shared.errors import Misconfigured
from shared.users import PasswordRefused, Users
from shared.viewersettings import UserSettings, ViewerSettings
from viewer.attempts import FREE, LONGEST_SECONDS, Attempts
from viewer.sessions import Sessions

PASSWORD = "correct horse battery"
SECRET = "s" * 40


@pytest.fixture
def settings(tmp_path: Path) -> ViewerSettings:
    return ViewerSettings(url=(tmp_path / "viewer").as_uri())


def sessions(settings: ViewerSettings, clock: SimulatedClock, secret: str = SECRET) -> Sessions:
    return Sessions(settings.root, secret, 12, Users(settings), clock)


# -- users ----------------------------------------------------------------------------------------


def test_a_user_is_known_by_the_password_alone(settings: ViewerSettings) -> None:
    users = Users(settings)
    assert not users
    users.add("민지", "operator", PASSWORD)
    assert users
    found = users.check("민지", PASSWORD)
    assert found is not None
    assert (found.name, found.role) == ("민지", "operator")
    assert users.check("민지", PASSWORD + "x") is None
    assert users.check("nobody", PASSWORD) is None


def test_no_password_stands_in_the_file_and_only_its_owner_reads_it(
    settings: ViewerSettings,
) -> None:
    Users(settings).add("minji", "viewer", PASSWORD)
    file = settings.root / "users.json"
    assert PASSWORD not in file.read_text()
    assert json.loads(file.read_text())[0]["password_hash"].startswith("$argon2id$")
    assert file.stat().st_mode & 0o077 == 0


def test_a_change_of_the_file_is_seen_without_a_restart(settings: ViewerSettings) -> None:
    running, command = Users(settings), Users(settings)
    command.add("minji", "viewer", PASSWORD)
    assert running.check("minji", PASSWORD) is not None
    assert command.remove("minji")
    assert not command.remove("minji")
    assert running.named("minji") is None


def test_users_of_the_configuration_stand_beside_and_are_not_changed_by_command(
    settings: ViewerSettings,
) -> None:
    Users(settings).add("minji", "viewer", PASSWORD)
    hashed = json.loads((settings.root / "users.json").read_text())[0]["password_hash"]
    given = UserSettings(name="boss", role="operator", password_hash=SecretStr(hashed))
    users = Users(settings.model_copy(update={"users": [given]}))
    assert [user.name for user in users.listed()] == ["boss", "minji"]
    with pytest.raises(PasswordRefused, match="configuration"):
        users.add("boss", "viewer", PASSWORD)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:b", "x" * 41, "a\nb"])
def test_names_that_would_break_something_are_refused(settings: ViewerSettings, name: str) -> None:
    with pytest.raises(PasswordRefused):
        Users(settings).add(name, "viewer", PASSWORD)


def test_passwords_that_are_too_short_are_refused(settings: ViewerSettings) -> None:
    with pytest.raises(PasswordRefused, match="between 10"):
        Users(settings).add("minji", "viewer", "short")


def test_the_first_user_is_made_once(settings: ViewerSettings) -> None:
    users = Users(settings)
    users.add("minji", "operator", PASSWORD, only_first=True)
    with pytest.raises(PasswordRefused, match="already"):
        users.add("thief", "operator", PASSWORD, only_first=True)


def test_a_broken_file_is_said_and_lets_nobody_in(settings: ViewerSettings) -> None:
    settings.root.mkdir(parents=True)
    (settings.root / "users.json").write_text("[{]")
    with pytest.raises(Misconfigured, match=r"users\.json cannot be read"):
        Users(settings).check("minji", PASSWORD)


# -- sessions -------------------------------------------------------------------------------------


def test_a_session_is_found_by_its_cookie_on_every_replica_with_the_secret(
    settings: ViewerSettings,
) -> None:
    clock = SimulatedClock()
    user = Users(settings).add("minji", "viewer", PASSWORD)
    cookie, begun = sessions(settings, clock).begin(user)
    assert sessions(settings, clock).find(cookie) == begun
    assert sessions(settings, clock, "t" * 40).find(cookie) is None


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: "x" + c, lambda c: c * 99])
def test_a_cookie_that_was_tampered_with_is_worth_nothing(
    settings: ViewerSettings, change: object
) -> None:
    assert callable(change)
    user = Users(settings).add("minji", "viewer", PASSWORD)
    here = sessions(settings, SimulatedClock())
    cookie, _ = here.begin(user)
    assert here.find(change(cookie)) is None
    assert here.find("") is None
    assert here.find(None) is None


def test_a_session_ends_with_its_time_with_logging_out_and_with_the_password(
    settings: ViewerSettings,
) -> None:
    clock = SimulatedClock()
    users = Users(settings)
    user = users.add("minji", "viewer", PASSWORD)
    here = sessions(settings, clock)
    first, begun = here.begin(user)
    second, _ = here.begin(user)
    here.end(begun.ending)
    assert here.find(first) is None
    assert sessions(settings, clock).find(first) is None
    assert here.find(second) is not None
    users.add("minji", "viewer", PASSWORD + "!")
    assert here.find(second) is None
    changed = users.named("minji")
    assert changed is not None
    third, _ = here.begin(changed)
    clock.advance(12 * 3600 - 1)
    assert here.find(third) is not None
    clock.advance(2)
    assert here.find(third) is None


def test_the_role_is_the_one_of_now(settings: ViewerSettings) -> None:
    users = Users(settings)
    here = sessions(settings, SimulatedClock())
    cookie, _ = here.begin(users.add("minji", "operator", PASSWORD))
    users.remove("minji")
    assert here.find(cookie) is None


# -- attempts -------------------------------------------------------------------------------------


def test_after_a_few_wrong_passwords_each_further_one_takes_longer() -> None:
    clock = SimulatedClock()
    attempts = Attempts(clock)
    for subject, longest in (("from 1.2.3.4", LONGEST_SECONDS), ("as minji", 10)):
        for _ in range(FREE):
            assert attempts.wait_seconds(subject) == 0
            attempts.failed(subject)
        waits = []
        for _ in range(12):
            waits.append(attempts.wait_seconds(subject))
            clock.advance(waits[-1])
            assert attempts.wait_seconds(subject) == 0
            attempts.failed(subject)
        assert waits == sorted(waits)
        assert waits[0] == pytest.approx(2)
        assert waits[-1] == longest
    assert attempts.wait_seconds("as minsu") == 0


def test_the_address_and_the_name_are_counted_apart_and_the_right_password_clears_both() -> None:
    attempts = Attempts(SimulatedClock())
    for _ in range(FREE + 1):
        attempts.failed("from 1.2.3.4", "as minji")
    assert attempts.wait_seconds("from 1.2.3.4", "as minsu") > 0
    assert attempts.wait_seconds("from 4.3.2.1", "as minji") > 0
    attempts.succeeded("from 1.2.3.4", "as minji")
    assert attempts.wait_seconds("from 1.2.3.4", "as minji") == 0


def test_what_is_long_ago_counts_no_more_and_the_table_stays_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimulatedClock()
    attempts = Attempts(clock)
    for _ in range(FREE + 3):
        attempts.failed("as minji")
    clock.advance(3601)
    attempts.failed("as minji")
    assert attempts.wait_seconds("as minji") == 0
    monkeypatch.setattr("viewer.attempts.MOST", 10)
    for number in range(50):
        attempts.failed(f"from {number}")
    assert len(attempts._wrong) == 10
