"""A camera's `source`, taken apart: which kind it is, and a form of it that holds no secret.

rtsp:// rtsps://          a camera; TCP first, UDP on request
rtmp:// http:// https://  a stream (RTMP, MPEG-TS, HLS, MJPEG) pulled from a server
file:///path              a file, played at its own pace
device:0                  a webcam, through OpenCV
test:1280x720@30          a generated picture with a frame counter and a clock

A password with `/`, `#`, `?` or `@` in it breaks an address into other parts than were meant, and
then pieces of it would be shown as host, port or path. Such an address is refused, in a sentence
that shows none of it.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from shared.log import redact


class SourceKind(StrEnum):
    RTSP = "rtsp"
    STREAM = "stream"
    FILE = "file"
    DEVICE = "device"
    TEST = "test"


_KINDS = {
    "rtsp": SourceKind.RTSP,
    "rtsps": SourceKind.RTSP,
    "rtmp": SourceKind.STREAM,
    "rtmps": SourceKind.STREAM,
    "http": SourceKind.STREAM,
    "https": SourceKind.STREAM,
}
_REMOTE = {SourceKind.RTSP, SourceKind.STREAM}
_TEST = re.compile(r"test:(?:(?P<width>\d{2,4})x(?P<height>\d{2,4})(?:@(?P<rate>\d{1,3}))?)?")


@dataclass(frozen=True)
class GeneratedPicture:
    """Size in pixels and frames per second of the generated picture."""

    width: int = 1280
    height: int = 720
    frames_per_second: int = 30


@dataclass(frozen=True)
class SourceAddress:
    """One source. `url` may hold a password and is never shown; `shown` is what logs print."""

    kind: SourceKind
    url: str = field(repr=False)
    shown: str

    @property
    def path(self) -> Path:
        """Of a file."""
        return file_path(self.url)

    @property
    def device(self) -> int:
        """Number of a webcam."""
        return int(self.url.partition(":")[2])

    @property
    def generated_picture(self) -> GeneratedPicture:
        """What to generate. Sizes are even, as H.264 4:2:0 wants them."""
        match = _TEST.fullmatch(self.url)
        if match is None or match["width"] is None:
            return GeneratedPicture()
        return GeneratedPicture(
            int(match["width"]) // 2 * 2, int(match["height"]) // 2 * 2, int(match["rate"] or 30)
        )

    @property
    def has_user(self) -> bool:
        """The address itself names a user."""
        return self.kind in _REMOTE and urlsplit(self.url).username is not None

    def with_credentials(self, username: str | None, password: str | None) -> str:
        """The address to open, with user and password put in where the address names none."""
        if self.kind not in _REMOTE:
            return self.url
        parts = urlsplit(self.url)
        login, _, host = parts.netloc.rpartition("@")
        if not login:
            if username is None:
                return self.url
            login = quote(username, safe="")
        if password is not None and ":" not in login:
            login += ":" + quote(password, safe="")
        return urlunsplit(parts._replace(netloc=f"{login}@{host}"))


def split_address(text: str) -> SplitResult:
    """A network address in parts. Raises ValueError, which shows nothing of it, if it is broken."""
    try:
        parts = urlsplit(text)
        good = parts.hostname is not None and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise ValueError(
            "is not an address of the form scheme://user:password@host:port/path; characters such "
            "as / # ? @ in a password are written %2F %23 %3F %40"
        )
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ValueError(
            "has an @ behind its host; if it ends a password, write / # ? @ in the password as "
            "%2F %23 %3F %40; if it belongs to the path, write it %40"
        )
    return parts


def shown_host(parts: SplitResult) -> str:
    """`host` or `host:port`, without user and password."""
    return parts.netloc.rpartition("@")[2].lower()


def parse_source(text: str) -> SourceAddress:
    """Take a source apart. Raises ValueError with a sentence that shows no secret."""
    scheme = text.partition(":")[0].lower()
    if scheme == "device":
        if not re.fullmatch(r"device:\d{1,3}", text):
            raise ValueError("must look like device:0")
        return SourceAddress(SourceKind.DEVICE, text, text)
    if scheme == "test":
        match = _TEST.fullmatch(text)
        if match is None or not 1 <= int(match["rate"] or 30) <= 120:
            raise ValueError("must look like test:1280x720@30")
        return SourceAddress(SourceKind.TEST, text, text)
    if scheme == "file":
        try:
            path = file_path(text)
        except ValueError:
            raise ValueError("must look like file:///path/of/the/video.mp4") from None
        return SourceAddress(SourceKind.FILE, text, f"file://{path}")
    if scheme not in _KINDS:
        raise ValueError(
            "is not a source; it begins with rtsp://, rtmp://, http://, file:///, device: or test:"
        )
    parts = split_address(text)
    return SourceAddress(
        _KINDS[scheme], text, redact(f"{scheme}://{shown_host(parts)}{parts.path}")
    )


def file_path(url: str) -> Path:
    """The path of `file:///a/path`. Raises ValueError for anything else.

    Names may hold `#` and `?`, so it is not split as an address.
    """
    scheme, _, rest = url.partition("://")
    path = rest.removeprefix("localhost")
    if scheme.lower() != "file" or not path.startswith("/") or "\0" in unquote(path):
        raise ValueError("must look like file:///a/path")
    return Path(unquote(path))
