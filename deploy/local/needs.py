"""What must be there before anything is started; each refusal is one sentence."""

from shared.child import find_program
from shared.config import CameraSettings
from shared.errors import Misconfigured
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
