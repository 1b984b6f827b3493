"""What must be there before anything is started; each refusal is one sentence."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from shared.child import find_program
from shared.config import ArchiveSettings, BrokerSettings, CameraSettings
from shared.errors import Misconfigured, StoreUnavailable, Unavailable
from shared.link import Link
from shared.objectstore import ObjectStore
from shared.source import SourceKind


def require_programs() -> None:
    """The programs that the workers run. Raises MissingProgram."""
    for name in ("setpriv", "ffmpeg"):
        find_program(name)


def require_file(camera: CameraSettings) -> None:
    """If the camera is a video file, that it can be read. Raises Misconfigured."""
    if camera.address.kind is not SourceKind.FILE:
        return
    path = camera.address.path
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise Misconfigured(
            f"cameras.{camera.id}.source: {path} cannot be read ({error.strerror}); mend the path"
        ) from None


def require_folder(key: str, root: Path) -> None:
    """That the folder of `key` is there, or can be made, and written. Raises Misconfigured."""
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o750)
        with tempfile.TemporaryFile(dir=root):
            return
    except OSError as error:
        raise Misconfigured(
            f"{key}: {root} cannot be written ({error.strerror}); choose another folder"
        ) from None


def require_broker(settings: BrokerSettings, say: Callable[[str], None]) -> None:
    """That a broker of somebody else takes us. Raises Misconfigured.

    One that is away is told of: the workers wait for it, and nothing on this machine can mend it.
    """
    try:
        with Link(settings.url, "cradle up", settings.heartbeat_seconds):
            return
    except Unavailable as error:
        say(f"broker.url: {error}; the workers wait until it is back")


def require_store(settings: ArchiveSettings, say: Callable[[str], None]) -> None:
    """That a store of somebody else takes us and keeps what it has. Raises Misconfigured.

    One that is away is no reason to wait with recording: fragments stay in the frame store.
    """
    try:
        ObjectStore(settings).probe()
    except StoreUnavailable as error:
        say(f"archive.endpoint: {error}; clips are stored when it is back")
