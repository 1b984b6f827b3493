"""Files and folders for their owner's eyes only."""

import os
from pathlib import Path


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
