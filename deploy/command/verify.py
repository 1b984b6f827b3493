"""`cradle verify`: are the clips in the bucket what their manifests say?

Clips of a day, or all, or some drawn by lot, are downloaded one after the other into a passing file
and held against their manifests (`examination.py`); manifests are held against one another
(`inventory.py`). Everything is read from the object store alone, so anyone with the bucket can do
it. A clip that expires meanwhile is no damage.
"""

import argparse
import json
import random
import secrets
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from deploy.command import connections
from deploy.command.coverage import cameras_of, day_bounds, parse_date
from deploy.command.examination import examine
from deploy.command.inventory import Damage, Inventory, take_inventory
from shared.clipfolder import ClipFolder, CommittedClip
from shared.clock import SystemClock, from_milliseconds
from shared.errors import Misconfigured, Refused
from shared.manifest import Manifest
from shared.objectstore import ObjectStore

DAMAGED_EXIT: Final = 3
SHOWN: Final = 5
"""Leftovers and strangers that are named; the others are counted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `cradle verify`."""
    connections.add_arguments(parser)
    parser.add_argument("--camera", metavar="ID", help="all of the configuration if not given")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--date", default="today", metavar="D", help="YYYY-MM-DD, today or yesterday, local time"
    )
    which.add_argument("--all", action="store_true", help="every clip that there is")
    parser.add_argument("--sample", type=int, metavar="N", help="look at N clips of each camera")
    parser.add_argument("--seed", type=int, metavar="S", help="draw the same N again")
    parser.add_argument("--decode", action="store_true", help="decode every picture as well")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.epilog = f"Exit code {DAMAGED_EXIT}: something is not as its manifest says."


@dataclass
class Report:
    """What was found."""

    cameras: int = 0
    clips: int = 0
    """That there are."""
    examined: int = 0
    bytes: int = 0
    frames: int = 0
    seed: int | None = None
    damages: list[Damage] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


def run(arguments: argparse.Namespace) -> int:
    """Do it, print the report. Raises Misconfigured, StoreUnavailable."""
    settings = connections.settings_with_store(arguments)
    bounds = None
    if not arguments.all:
        now = SystemClock().now()
        day = day_bounds(parse_date(arguments.date, now, settings.zone), settings.zone, now)
        bounds = (from_milliseconds(day.starts), from_milliseconds(day.ends))
    report = Report()
    if arguments.sample is not None:
        if arguments.sample < 1:
            raise Misconfigured("--sample: must be at least 1")
        report.seed = secrets.randbelow(2**32) if arguments.seed is None else arguments.seed
    store = ObjectStore(settings.archive)
    with tempfile.TemporaryDirectory(prefix="cradle-verify-") as folder:
        for camera in cameras_of(arguments.camera, settings):
            _verify(store, camera, bounds, report, arguments, Path(folder) / "clip")
    print(json.dumps(as_facts(report), indent=1) if arguments.json else as_text(report))
    return DAMAGED_EXIT if report.damages else 0


def _verify(
    store: ObjectStore,
    camera: str,
    bounds: tuple[datetime, datetime] | None,
    report: Report,
    arguments: argparse.Namespace,
    path: Path,
) -> None:
    found = take_inventory(store, camera, bounds)
    report.cameras += 1
    report.clips += len(found.clips)
    report.leftovers += found.leftovers
    report.strangers += found.strangers
    damages = list(found.damages)
    chosen = _chosen(found, arguments.sample, report.seed)
    folder = ClipFolder(store, camera)
    for place, clip in enumerate(chosen):
        _tell_progress(f"{camera}: clip {place + 1} of {len(chosen)}")
        manifest = folder.manifest(clip.identity.manifest_key)
        if manifest is None:
            continue  # it has expired meanwhile
        words = _examine(store, manifest, path, decode=arguments.decode)
        report.examined += 1
        report.bytes += manifest.bytes
        report.frames += manifest.frames
        if words:
            damages.append(Damage(camera, clip.identity.manifest_key, tuple(words)))
    _tell_progress("")
    report.damages += [each for each in damages if store.stat(each.key) is not None]


def _chosen(found: Inventory, sample: int | None, seed: int | None) -> list[CommittedClip]:
    if sample is None or sample >= len(found.clips):
        return found.clips
    drawn = random.Random(f"{seed} {found.camera}").sample(range(len(found.clips)), sample)
    return [found.clips[place] for place in sorted(drawn)]


def _examine(store: ObjectStore, manifest: Manifest, path: Path, *, decode: bool) -> list[str]:
    there = store.stat(manifest.object_key)
    if there is None:
        return [f"{manifest.object_key} is gone"]
    if there.bytes != manifest.bytes:  # whatever it is, it may not fit here
        return [f"it has {there.bytes} bytes and not {manifest.bytes}"]
    try:
        store.download(manifest.object_key, path)
    except Refused as error:
        return [str(error)]
    try:
        return examine(path, manifest, decode=decode)
    finally:
        path.unlink(missing_ok=True)


def _tell_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


# -- what is printed ------------------------------------------------------------------------------


def as_text(report: Report) -> str:
    """For a person: what is damaged, what is strange, and the sum."""
    lines = [f"{each.key}: {'; '.join(each.words)}" for each in report.damages]
    for keys, what in (
        (report.leftovers, "without a manifest, left by an interrupted commit or still under way"),
        (report.strangers, "that is no clip of Cradle's"),
    ):
        if keys:
            lines.append(f"note: {_count(len(keys), 'object')} {what}:")
            lines += [f"  {key}" for key in keys[:SHOWN]]
            lines += [f"  and {len(keys) - SHOWN} more"] if len(keys) > SHOWN else []
    looked = _count(report.examined, "clip")
    if report.seed is not None:
        looked += f" of {report.clips} (--seed {report.seed})"
    looked += f" of {_count(report.cameras, 'camera')}, {report.bytes / 1e9:.2f} GB, "
    looked += f"{_count(report.frames, 'frame')}: "
    if report.damages:
        looked += f"{len(report.damages)} not as the manifest says"
    else:
        looked += "all as their manifests say" if report.examined else "nothing to verify"
    return "\n".join([*lines, looked])


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def as_facts(report: Report) -> dict[str, Any]:
    """The same for programs."""
    return {
        "cameras": report.cameras,
        "clips": report.clips,
        "examined": report.examined,
        "bytes": report.bytes,
        "frames": report.frames,
        "seed": report.seed,
        "damaged": [
            {"camera": each.camera, "key": each.key, "words": list(each.words)}
            for each in report.damages
        ],
        "leftovers": report.leftovers,
        "strangers": report.strangers,
    }
