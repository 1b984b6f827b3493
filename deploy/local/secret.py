"""Random secrets that a private server keeps in its folder, for its owner's eyes only."""

import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

_BYTES = 24


def private_folder(folder: Path) -> Path:
    """Create a folder that only its owner can enter, and return its absolute path."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return folder.resolve()


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    beside = file.with_name(f".{file.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(descriptor)
    beside.replace(file)


def kept_secrets(file: Path, names: Iterable[str]) -> dict[str, str]:
    """A secret (hexadecimal) for each name: the one kept in `file`, or a new one, then kept."""
    kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    wanted = {name: kept.get(name) or secrets.token_hex(_BYTES) for name in names}
    if wanted.items() - kept.items():
        write_private(file, json.dumps(kept | wanted, indent=1))
    return wanted
