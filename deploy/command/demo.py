"""`make demo`: the whole line on one camera, with nothing to configure.

Writes a configuration for the camera it is given (a source as in cradle.yaml, or the path of a
video file, which is looped) into the data folder, then does what `cradle up` does.

An address with a password belongs in the environment, where `ps` does not show it:
`CAMERA=rtsp://user:password@... make demo`.
"""

import argparse
import os
import secrets
import sys
from functools import partial
from pathlib import Path

import yaml

from deploy.command import up
from deploy.local.vigil import HUNG_SECONDS
from shared.errors import CradleError, Misconfigured
from shared.source import parse_source
from shared.users import Users
from shared.viewersettings import ViewerSettings

CLIP_SECONDS = 60
ANALYSIS_SECONDS = 15
CAMERA_VARIABLE = "CRADLE_DEMO_CAMERA"
VARIABLES = (CAMERA_VARIABLE, "CAMERA", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES")
"""Where the camera's address may stand, as make hands it on."""
FORMS = "give rtsp://..., http://..., the path of a video file, device:0 or test:1280x720@30"
GENERATED = "test:1280x720@30"
USER = "demo"


def configuration(camera: str) -> dict[str, object]:
    """A configuration with one camera. Raises Misconfigured."""
    path = Path(camera).expanduser().absolute()
    if "://" not in camera and path.is_file():
        camera = path.as_uri()
    try:
        parse_source(camera)
    except ValueError as error:
        if ":" not in camera:
            raise Misconfigured(f"CAMERA: there is no file {path}; {FORMS}") from None
        raise Misconfigured(f"CAMERA: {error}") from error
    return {
        "archive": {"clip_seconds": CLIP_SECONDS},
        "analysis": {"interval_seconds": ANALYSIS_SECONDS},
        "cameras": [{"id": "camera-1", "name": "Demo", "source": camera, "loop": True}],
    }


def make_login(folder: Path) -> tuple[str, str]:
    """A user with a new password, so that the page can be looked at at once."""
    password = secrets.token_urlsafe(9)
    Users(ViewerSettings(url=folder.absolute().as_uri())).add(USER, "operator", password)
    return USER, password


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    camera = os.environ.get(CAMERA_VARIABLE, GENERATED)
    for variable in VARIABLES:  # everything that is started inherits the environment
        os.environ.pop(variable, None)
    parser.add_argument(
        "--camera",
        default=camera,
        help=f"a source, or a video file (else ${CAMERA_VARIABLE}, else a generated picture)",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder for everything it keeps")
    parser.add_argument("--seconds", type=float, default=None, help="stop by itself after so long")
    arguments = parser.parse_args()
    try:
        content = configuration(arguments.camera)
        arguments.data.mkdir(parents=True, exist_ok=True)
        file = arguments.data / "cradle.yaml"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            yaml.safe_dump(content, stream, allow_unicode=True, sort_keys=False)
        arguments.config, arguments.workers, arguments.hung_seconds = file, "", HUNG_SECONDS
        # Once it has started: one that is refused must not change the password of one that runs.
        arguments.make_login = partial(make_login, arguments.data / "viewer")
        raise SystemExit(up.run(arguments))
    except CradleError as error:
        print(f"cradle: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, Misconfigured) else 1) from None


if __name__ == "__main__":
    main()
