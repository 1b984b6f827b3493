"""`cradle user`, as an operator types it."""

import io
from pathlib import Path

import pytest
import yaml

from deploy.command.main import main
from shared.users import Users
from shared.viewersettings import ViewerSettings

PASSWORD = "a long enough password"


class Command:
    """The command with a configuration whose viewer has a folder of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.settings = ViewerSettings(url=(folder / "viewer").as_uri())
        self.file = folder / "cradle.yaml"
        self.file.write_text(yaml.safe_dump({"viewer": {"url": self.settings.url}}))

    def __call__(self, what: str, *words: str, stdin: str = "") -> int:
        self._monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        config = [] if what == "hash" else ["--config", str(self.file)]
        return main(["user", what, *config, *words])


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(tmp_path, monkeypatch)


def test_a_user_is_added_listed_and_removed(
    user: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("minji", "--role", "operator", "--password-stdin")
    assert user("add", *words, stdin=f"{PASSWORD}\n") == 0
    found = Users(user.settings).check("minji", PASSWORD)
    assert found is not None
    assert found.role == "operator"
    assert user("list") == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["minji", "operator"]
    assert user("remove", "minji") == 0
    assert Users(user.settings).check("minji", PASSWORD) is None
    assert user("remove", "minji") == 2


def test_a_password_that_is_too_short_is_refused_and_never_shown(
    user: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert user("add", "minji", "--password-stdin", stdin="short\n") == 2
    said = capsys.readouterr()
    assert "between 10 and 200" in said.err
    assert "short" not in said.err.replace("too short", "") + said.out


def test_a_hash_can_be_written_into_the_configuration(
    user: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert user("hash", "--password-stdin", stdin=f"{PASSWORD}\n") == 0
    hashed = capsys.readouterr().out.strip()
    given = {"name": "boss", "role": "operator", "password_hash": hashed}
    settings = ViewerSettings.model_validate({"url": user.settings.url, "users": [given]})
    assert Users(settings).check("boss", PASSWORD) is not None


def test_two_different_passwords_at_the_prompt_change_nothing(
    user: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([PASSWORD, PASSWORD + "!"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
    assert user("add", "minji") == 2
    assert not Users(user.settings)
