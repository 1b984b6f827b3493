"""What the viewer of one machine is given: a port, a folder, a secret, and where to go on to.

As long as there is no user, a one-time token: the page's address that is printed holds it behind a
`#`, so that no log and no server on the way sees it, and opens the set-up page.
"""

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from deploy.local.ports import free_ports, is_free
from deploy.local.secret import kept_secrets
from shared.config import Settings
from shared.privatefile import private_folder
from shared.users import Users

_LINKS: Final = {"queue dashboard": "BROKER", "bucket browser": "BUCKET"}


def viewer_environment(
    data: Path,
    settings: Settings,
    is_given: Callable[[str, tuple[str, str]], bool],
    pages: Mapping[str, str],
) -> dict[str, str]:
    """Variables for what the configuration leaves out. `pages` are the addresses of others."""
    folder = private_folder(data / "viewer")
    found = {
        "url": folder.as_uri(),
        "secret": kept_secrets(folder / "secrets.json", ("sessions",))["sessions"],
        "setup_token": secrets.token_hex(16),  # of this start alone
    }
    port = settings.viewer.port
    if not is_given("CRADLE_VIEWER__PORT", ("viewer", "port")) and not is_free(port):
        found["port"] = str(free_ports(1)[0])
    environment = {
        f"CRADLE_VIEWER__{name.upper()}": value
        for name, value in found.items()
        if not is_given(f"CRADLE_VIEWER__{name.upper()}", ("viewer", name))
    }
    if not is_given("CRADLE_VIEWER__LINKS", ("viewer", "links")):
        environment |= {
            f"CRADLE_VIEWER__LINKS__{_LINKS[name]}": address
            for name, address in pages.items()
            if name in _LINKS
        }
    return environment


def page_address(settings: Settings) -> tuple[str, str]:
    """Where to open the page, and a note for the person; with the token while nobody can log in."""
    viewer = settings.viewer
    scheme = "http" if viewer.certificate is None else "https"
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(viewer.host, viewer.host)  # noqa: S104
    address = f"{scheme}://{host}:{viewer.port}"
    if Users(viewer) or viewer.setup_token is None:
        return address, ""
    token = viewer.setup_token.get_secret_value()
    return f"{address}/setup#{token}", "makes the first user; the link works until there is one"
