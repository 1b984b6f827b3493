"""Backup and restore by the README's own commands; last, for they take the stacks' volumes away."""

import pytest

from tests.containers import trials
from tests.containers.stack import README, Stack
from tests.footage import CAMERA
from tests.readme import commands
from tests.support import eventually
from tests.viewer_house import PASSWORD, Person

pytestmark = pytest.mark.timeout(4000)


@pytest.mark.parametrize("which", ["stack", "stack_with_buckets"])
def test_what_was_backed_up_is_there_again(
    which: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stack: Stack = request.getfixturevalue(which)
    stack.up(*stack.services)
    stack.wait_live()
    eventually(stack.clips, trials.STORED_SECONDS, "a clip is stored", every_seconds=2)
    person = {"name": "minji", "password": PASSWORD}
    token = stack.secrets["VIEWER_SETUP_TOKEN"]
    assert Person(stack.page).ask("POST", "/api/setup", {**person, "token": token}).status == 200
    place = str(tmp_path_factory.mktemp("backup"))
    backup, restore = (
        script.replace("/srv/cradle-backup", place)
        for script in commands(README, "Backup and restore")
    )
    before = set(stack.keys("cradle", f"clips/{CAMERA}/"))

    assert "NOT SAVED" not in stack.follow(backup)
    assert "NOT RESTORED" not in stack.follow(restore)

    stack.wait_live()
    assert Person(stack.page).log_in("minji").status == 200
    after = set(stack.keys("cradle", f"clips/{CAMERA}/"))
    assert before
    assert before <= after
    eventually(
        lambda: set(stack.keys("cradle", f"clips/{CAMERA}/")) > after,
        trials.STORED_SECONDS,
        "the archive goes on",
        every_seconds=2,
    )
    stored = stack.stored()
    assert stored == sorted(set(stored)), "no fragment is in two clips"
    stack.compose("stop")
