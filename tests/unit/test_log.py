"""Logs: one JSON line an event, no secret in any of them, and no flood."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import SimulatedClock
from shared.log import FloodGate, configure, get_logger, redact


@pytest.fixture
def written(logging_as_before: None) -> io.StringIO:
    """For `redirect_stdout` around `configure`."""
    return io.StringIO()


@pytest.fixture
def lines(written: io.StringIO) -> Callable[[], list[dict[str, Any]]]:
    """Logging as a worker sets it up; call it for the lines written."""
    with redirect_stdout(written):
        configure(clock=SimulatedClock())
    return lambda: [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("rtsp://user:secret@host/a", "rtsp://***@host/a"),
        ("RTSP://user:secret@host", "RTSP://***@host"),
        ("amqp://user:secret@host:5672/v", "amqp://***@host:5672/v"),
        ("rtsp://user:se@cret@host/a", "rtsp://***@host/a"),
        ("cannot open 'rtsp://u:secret@h/1': refused", "cannot open 'rtsp://***@h/1': refused"),
        ("two: http://a:secret@b/ http://c:secret@d/", "two: http://***@b/ http://***@d/"),
        ("http://host/a?password=secret&channel=1", "http://host/a?password=***&channel=1"),
        ("http://host/a?token=secret", "http://host/a?token=***"),
        ("http://host/path", "http://host/path"),
        ("mail someone@example.org", "mail someone@example.org"),
    ],
)
def test_secrets_in_addresses_are_blotted_out(text: str, safe: str) -> None:
    assert redact(text) == safe


@given(
    st.text(
        alphabet=st.characters(exclude_characters="/'\" \t\n\r\f\v", exclude_categories=["Z", "C"]),
        min_size=1,
    )
)
def test_no_password_in_an_address_survives(password: str) -> None:
    text = redact(f"connecting to rtsp://user:{password}@camera.example/1")
    assert text == "connecting to rtsp://***@camera.example/1"


def test_redacting_twice_changes_nothing() -> None:
    once = redact("rtsp://u:p@h/a?password=x")
    assert redact(once) == once


def test_an_event_is_one_line_of_json_with_its_action(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    get_logger(camera="camera-1").info("clip stored", action="clip.stored", bytes=7, name="영아반")
    (line,) = lines()
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "clip stored",
        "level": "info",
        "camera": "camera-1",
        "action": "clip.stored",
        "bytes": 7,
        "name": "영아반",
    }


def test_a_secret_is_blotted_out_wherever_it_stands(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    address = "rtsp://user:hush@host/1"
    log = get_logger(source=address)
    log.info(f"opening {address}", action="a", error=ValueError(address), arguments=["-i", address])
    log.error("broke", action="b", deep={"here": {"and": (address,)}}, where=[{address}])
    try:
        int(address)
    except ValueError as error:
        log.error("broke off", action="c", exc_info=error)  # noqa: TRY400 - ours has no other
    logging.getLogger("library").error("failed: %s", address)
    found = lines()
    assert len(found) == 4
    assert "hush" not in json.dumps(found)
    assert "Traceback" in found[2]["exception"]


def test_what_a_library_warns_of_comes_out_in_the_same_form(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    logging.getLogger("urllib3").warning("retrying")
    logging.getLogger("urllib3").info("nobody wants to know")
    (line,) = lines()
    assert (line["event"], line["action"], line["level"]) == (
        "retrying",
        "library.urllib3",
        "warning",
    )


def test_a_flood_of_equal_lines_becomes_one_a_second() -> None:
    clock = SimulatedClock()
    gate = FloodGate(clock)

    def passes(method: str = "warning", **event: Any) -> Any:
        try:
            return gate(None, method, {"action": "a", **event})
        except structlog.DropEvent:
            return None

    assert passes() == {"action": "a"}
    assert [passes() for _ in range(9)] == [None] * 9
    assert passes(camera="camera-2") is not None
    assert passes(action="b") is not None
    assert passes("error") is not None
    assert all(passes("info") for _ in range(9))
    clock.advance(1)
    assert passes() == {"action": "a", "repeated": 9}
    clock.advance(1)
    assert passes() == {"action": "a"}


def test_a_flood_from_a_library_drops_without_a_word_on_stderr() -> None:
    script = (
        "import logging; from shared.log import configure; configure();"
        "[logging.getLogger('library').warning('again') for _ in range(50)]"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=20, check=True
    )
    assert done.stdout.count(b"again") == 1
    assert done.stderr == b""


def test_a_level_hides_what_is_below_it(written: io.StringIO) -> None:
    with redirect_stdout(written):
        configure("warning", "text")
    get_logger().info("hidden", action="a")
    get_logger().warning("shown", action="a")
    assert "shown" in written.getvalue()
    assert "hidden" not in written.getvalue()
