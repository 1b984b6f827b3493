"""Sources: every form is understood, what is shown holds no secret, what is opened holds it all."""

import traceback
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.source import GeneratedPicture, SourceKind, file_path, parse_source


@pytest.mark.parametrize(
    ("text", "kind", "shown"),
    [
        ("rtsp://192.0.2.10/stream1", SourceKind.RTSP, "rtsp://192.0.2.10/stream1"),
        ("RTSP://u:p@Host:8554/a", SourceKind.RTSP, "rtsp://host:8554/a"),
        ("rtsps://u@[2001:db8::1]:322/a", SourceKind.RTSP, "rtsps://[2001:db8::1]:322/a"),
        ("rtmp://host/live/key", SourceKind.STREAM, "rtmp://host/live/key"),
        ("https://host/a.m3u8?token=hush", SourceKind.STREAM, "https://host/a.m3u8"),
        (
            "rtsp://host/user=a&password=hush&channel=1",
            SourceKind.RTSP,
            "rtsp://host/user=a&password=***&channel=1",
        ),
        ("file:///videos/room%201.mp4", SourceKind.FILE, "file:///videos/room 1.mp4"),
        ("device:0", SourceKind.DEVICE, "device:0"),
        ("test:", SourceKind.TEST, "test:"),
        ("test:1280x720@30", SourceKind.TEST, "test:1280x720@30"),
    ],
)
def test_every_form_of_source_is_known(text: str, kind: SourceKind, shown: str) -> None:
    address = parse_source(text)
    assert (address.kind, address.shown) == (kind, shown)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a source"),
        ("192.0.2.10", "is not a source"),
        ("ftp://host/a", "is not a source"),
        ("/videos/room.mp4", "is not a source"),
        ("rtsp:///stream1", "is not an address"),
        ("rtsp://host:0/a", "is not an address"),
        ("rtsp://host:99999/a", "is not an address"),
        ("rtsp://[::1/a", "is not an address"),
        ("file://videos/room.mp4", "must look like file:///"),
        ("file:room.mp4", "must look like file:///"),
        ("device:", "must look like device:0"),
        ("device:/dev/video0", "must look like device:0"),
        ("test:big", "must look like test:1280x720@30"),
        ("test:1280x720@0", "must look like test:1280x720@30"),
        ("test:1280x720@121", "must look like test:1280x720@30"),
    ],
)
def test_what_is_not_a_source_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_source(text)


def test_a_file_name_may_hold_what_an_address_may_not() -> None:
    assert parse_source("file:///a/room #1?.mp4").path == Path("/a/room #1?.mp4")
    assert file_path("file://localhost/a%20b") == Path("/a b")


@given(st.text(st.characters(exclude_categories=["C"]), min_size=1))
def test_a_path_survives_its_address(name: str) -> None:
    path = Path("/videos") / name.strip("/. ") / "a.mp4"
    assert parse_source(path.as_uri()).path == path


def test_a_generated_picture_has_even_sides() -> None:
    assert parse_source("test:").generated_picture == GeneratedPicture(1280, 720, 30)
    assert parse_source("test:641x361").generated_picture == GeneratedPicture(640, 360, 30)
    assert parse_source("test:640x360@5").generated_picture == GeneratedPicture(640, 360, 5)


words = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1)


@given(words, words)
def test_any_user_and_password_reach_the_camera_as_they_are(user: str, password: str) -> None:
    opened = parse_source("rtsp://192.0.2.10:554/a/b?c=d").with_credentials(user, password)
    parts = urlsplit(opened)
    assert (parts.hostname, parts.port, parts.path, parts.query) == (
        *("192.0.2.10", 554),
        *("/a/b", "c=d"),
    )
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (user, password)


@pytest.mark.parametrize(
    ("text", "user", "password", "opened"),
    [
        ("rtsp://h/a", None, None, "rtsp://h/a"),
        ("rtsp://h/a", "u", None, "rtsp://u@h/a"),
        ("rtsp://h/a", "u", "", "rtsp://u:@h/a"),
        ("rtsp://h/a", "u", "p@ss/w#rd", "rtsp://u:p%40ss%2Fw%23rd@h/a"),
        ("rtsp://own@h/a", None, "p", "rtsp://own:p@h/a"),
        ("rtsp://own:pw@h/a", None, "p", "rtsp://own:pw@h/a"),
        ("file:///a", "u", "p", "file:///a"),
        ("test:", "u", "p", "test:"),
    ],
)
def test_credentials_fill_in_only_what_the_address_leaves_out(
    text: str, user: str | None, password: str | None, opened: str
) -> None:
    assert parse_source(text).with_credentials(user, password) == opened


@given(st.text(st.sampled_from("ab1:/#?@[]%&\u2100 "), min_size=1, max_size=8))
def test_nothing_of_a_password_is_ever_shown(middle: str) -> None:
    """Whatever its characters: the source is refused in words, or shown without it."""
    for secret in (f"hush{middle}hush", f"12{middle}hush"):
        try:
            address = parse_source(f"rtsp://user:{secret}@camera/stream")
            shown = f"{address} {address!r} {address.shown}"
        except ValueError as error:
            told = traceback.format_exception(error, chain=True)  # as a log may print it
            shown = "".join(line for line in told if not line.startswith("  "))
        assert "hush" not in shown
        assert ":12" not in shown
