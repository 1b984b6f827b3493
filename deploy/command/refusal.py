"""Why a camera cannot be opened, in plain words.

libav says `Server returned 401 Unauthorized`, `Input/output error` or `Invalid data found`, the
last also for a host that says nothing. A plain connection tells an unreachable host from one that
refuses; the rest is told by those words and by how long it took.
"""

import os
import re
import socket
from typing import Final
from urllib.parse import urlsplit

from shared.config import CameraSettings
from shared.errors import Misconfigured, Unavailable
from shared.source import SourceKind

CONNECT_SECONDS: Final = 4.0
_PORTS: Final = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "rtmps": 443, "http": 80, "https": 443}
_LOGIN: Final = re.compile(r"40[13]|unauthorized|forbidden|authorization", re.IGNORECASE)
_NO_PATH: Final = re.compile(r"404|not found", re.IGNORECASE)
_NO_VIDEO: Final = re.compile(r"invalid data|not a video|no video|cannot be used", re.IGNORECASE)


def plain(camera: CameraSettings, words: str, took_seconds: float) -> Unavailable | Misconfigured:
    """Ingest's `words` about a source that it could not open after `took_seconds`."""
    is_remote = camera.address.kind in {SourceKind.RTSP, SourceKind.STREAM}
    unreachable = _unreachable(camera) if is_remote else None
    if unreachable is not None:
        return unreachable
    shown, key = camera.address.shown, f"cameras.{camera.id}"
    if is_remote and took_seconds >= 0.9 * camera.open_timeout_seconds:
        return Unavailable(
            f"{shown} takes the connection, but sent no video in {camera.open_timeout_seconds:g} s"
        )
    if _LOGIN.search(words):
        return Misconfigured(f"{key}{_refused_login(camera)}")
    if _NO_PATH.search(words):
        return Misconfigured(
            f"{key}.source: the host answers, but {shown} is not there; mend the path"
        )
    if _NO_VIDEO.search(words):
        return Misconfigured(f"{key}.source: what {shown} gives is not a video ({words})")
    return Unavailable(f"{shown}: {words}")


def _refused_login(camera: CameraSettings) -> str:
    shown = camera.address.shown
    if camera.username is None and not camera.address.has_user:
        return f".username: {shown} wants a user and a password; give username and password_env"
    return (
        f": {shown} refuses the user or the password; mend username, or the variable that "
        "password_env names"
    )


def _unreachable(camera: CameraSettings) -> Unavailable | Misconfigured | None:
    """What a plain connection to the host says; None if it works."""
    parts = urlsplit(camera.address.url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme.lower()]
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            return Misconfigured(f"cameras.{camera.id}.source: no host is called {host}")
        return Unavailable(f"the name {host} cannot be looked up ({error.strerror})")
    except TimeoutError:
        return Unavailable(
            f"{host} does not answer on port {port}; is the camera on, and in this network?"
        )
    except ConnectionRefusedError:
        return Unavailable(
            f"{host} answers, but nothing listens on its port {port}; is it the right one?"
        )
    except OSError as error:
        words = os.strerror(error.errno) if error.errno else str(error)
        return Unavailable(f"{host} cannot be reached on port {port} ({words})")
    return None
