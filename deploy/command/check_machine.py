"""Looks at this machine: the programs that Cradle runs, its folders, and who may read its secrets.

Nothing is created: a folder that does not exist yet must be possible to create.
"""

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from deploy.command.finding import Finding, State
from shared.child import find_program
from shared.config import FrameSettings, Settings
from shared.errors import MissingProgram

GIB: Final = 1024**3
PROGRAM_SECONDS: Final = 10.0
ENCODERS: Final = ("libx264", "aac")
"""What live needs of ffmpeg where it cannot carry."""


def check_machine(settings: Settings, is_given: Mapping[str, bool]) -> Iterator[Finding]:
    """Programs and folders. `is_given` says which keys the configuration names."""
    yield check_ffmpeg()
    for program in ("ffprobe", "setpriv"):
        yield _found(program)
    roots = {"frames": settings.frames.root, "live": settings.live.root}
    for thing, section in (("frames", settings.frames), ("live", settings.live)):
        key = f"{thing}.{'url' if section.bucket is None else 'spool'}"
        finding = check_folder(thing, section.root, key)
        if finding.state is State.WRONG and not is_given[key]:
            text = f"{key} is not given: `cradle up` puts it below its --data"
            finding = Finding(thing, State.LEFT_OUT, text)
        elif finding.state is State.OK and thing == "frames":
            finding = check_space(settings.frames)
        yield finding
    frames, live = roots.values()
    if frames == live or frames in live.parents or live in frames.parents:
        text = "frames.url and live.url lie inside each other; give each a folder of its own"
        yield Finding("folders", State.WRONG, text)


def _found(program: str) -> Finding:
    try:
        path = find_program(program)
    except MissingProgram as error:
        return Finding(program, State.WRONG, str(error))
    return Finding(program, State.OK, path)


def check_ffmpeg() -> Finding:
    """That it runs, and can encode what live may need."""
    try:
        path = find_program("ffmpeg")
    except MissingProgram as error:
        return Finding("ffmpeg", State.WRONG, str(error))
    try:
        version, encoders = (
            subprocess.run(
                [path, "-hide_banner", option],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=True,
                timeout=PROGRAM_SECONDS,
            ).stdout
            for option in ("-version", "-encoders")
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("ffmpeg", State.WRONG, f"{path} does not run ({error}); install it anew")
    names = {line.split()[1] for line in encoders.splitlines() if len(line.split()) > 1}
    missing = [encoder for encoder in ENCODERS if encoder not in names]
    text = f"{path}: {' '.join(version.split()[:3])}"
    if missing:
        text += f" cannot encode with {', '.join(missing)}; use Debian's package ffmpeg"
        return Finding("ffmpeg", State.WRONG, text)
    return Finding("ffmpeg", State.OK, text)


# -- folders --------------------------------------------------------------------------------------


def check_folder(thing: str, root: Path, key: str) -> Finding:
    """That files can be written there, or the folder be made."""
    existing = _nearest(root)
    try:
        if existing != root:
            if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
                text = f"{key}: {root} is not there and cannot be made in {existing}"
                return Finding(thing, State.WRONG, text)
            return Finding(thing, State.OK, f"{root} (will be made)")
        with tempfile.TemporaryFile(dir=root):
            return Finding(thing, State.OK, str(root))
    except OSError as error:
        text = f"{key}: {root} cannot be written ({error.strerror})"
        return Finding(thing, State.WRONG, text)


def check_space(frames: FrameSettings) -> Finding:
    """That the disk holds what `quota_gib` allows, beside what lies there already."""
    free = shutil.disk_usage(_nearest(frames.root)).free
    used = _bytes_below(frames.root)
    room_gib = (free + used) / GIB
    facts = {"free_gib": round(free / GIB, 1), "used_gib": round(used / GIB, 1)}
    quota_gib, key = frames.root_gib, "quota_gib" if frames.bucket is None else "spool_gib"
    text = f"{frames.root}: room for {room_gib:.0f} GiB, quota {quota_gib:g} GiB"
    if room_gib >= quota_gib:
        return Finding("frames", State.OK, text, facts)
    text = (
        f"frames.{key}: is {quota_gib:g}, but {frames.root} has room for "
        f"{room_gib:.1f} GiB; set it lower, or recording stops when the disk is full"
    )
    return Finding("frames", State.WARN, text, facts)


def _bytes_below(root: Path) -> int:
    """Of all files; one that goes meanwhile counts nothing."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(folder) / name).lstat().st_size
    return total


def _nearest(path: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    return next(each for each in (path, *path.parents) if each.exists())


# -- the file -------------------------------------------------------------------------------------


def check_file(file: Path, content: Mapping[str, Any]) -> Finding | None:
    """A finding if others on this machine may read the secrets in it."""
    mode = file.stat().st_mode
    if not mode & (stat.S_IRGRP | stat.S_IROTH) or not _holds_secrets(content):
        return None
    text = f"{file} holds secrets and others may read it; run: chmod 600 {file}"
    return Finding("configuration", State.WARN, text)


def _holds_secrets(content: Mapping[str, Any]) -> bool:
    def key(section: str, name: str) -> str:
        values = content.get(section)
        return str(values.get(name) or "") if isinstance(values, Mapping) else ""

    cameras = content.get("cameras") or []
    sources = [str(each.get("source")) for each in cameras if isinstance(each, Mapping)]
    return bool(key("archive", "secret_key")) or any(
        "@" in address for address in (key("broker", "url"), *sources) if "://" in address
    )
