"""Random secrets that a private server keeps in its folder, for its owner's eyes only."""

import json
import secrets
from collections.abc import Iterable
from pathlib import Path

from shared.privatefile import write_private

_BYTES = 24


def kept_secrets(file: Path, names: Iterable[str]) -> dict[str, str]:
    """A secret (hexadecimal) for each name: the one kept in `file`, or a new one, then kept."""
    kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    wanted = {name: kept.get(name) or secrets.token_hex(_BYTES) for name in names}
    if wanted.items() - kept.items():
        write_private(file, json.dumps(kept | wanted, indent=1))
    return wanted
