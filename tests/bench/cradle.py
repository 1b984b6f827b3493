"""Cradle as people run it: `cradle up` with its private broker and object store.

Its frames are counted in the clips themselves: after the orderly stop its object store is started
again by the bench, every manifest is read, every clip downloaded and its frames looked at.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import yaml
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from deploy.local.program import Program
from deploy.local.status import fetch
from deploy.local.store import Store
from shared.config import ArchiveSettings
from shared.identity import parse_clip_key
from shared.manifest import read_manifest
from shared.objectstore import ObjectStore
from tests.bench.mark import Mark, marks_in
from tests.bench.processes import command_of, processes

STOP_SECONDS: Final = 180.0
LARGEST_MANIFEST_BYTES: Final = 8 * 1024 * 1024

TROUBLES: Final = (
    "cradle_ingest_dropped_packets_total",
    "cradle_ingest_mended_timestamps_total",
    "cradle_ingest_corrupt_packets_total",
    "cradle_ingest_failures_total",
    "cradle_ingest_unsent_batches_total",
    "cradle_ingest_expired_unarchived_fragments_total",
    "cradle_encoder_skipped_batches_total",
    "cradle_encoder_gaps_total",
    "cradle_encoder_child_failures_total",
    "cradle_encoder_write_failures_total",
    "cradle_archiver_originals_kept_total",
    "cradle_archiver_duplicates_total",
    "cradle_archiver_reconciled_total",
    "cradle_archiver_lost_fragments_total",
    "cradle_archiver_retries_total",
    "cradle_archiver_bad_messages_total",
    "cradle_worker_restarts_total",
)
"""Counters that stay at 0 while all is well."""

_SUPERVISOR = "cradle up"
_NONE: Final[Mapping[str, object]] = {}


def configuration(
    sources: list[str], clip_seconds: int, sections: Mapping[str, object]
) -> dict[str, object]:
    """cradle.yaml: all else as it comes."""
    return {
        **sections,
        "archive": {"clip_seconds": clip_seconds},
        "analysis": {"provider": "local"},
        "cameras": [
            {"id": camera_id(number), "source": source} for number, source in enumerate(sources)
        ],
    }


def camera_id(number: int) -> str:
    return f"camera-{number}"


class Cradle:
    """A whole `cradle up` in a folder."""

    name = "Cradle"

    def __init__(
        self, folder: Path, clip_seconds: int, sections: Mapping[str, object] = _NONE
    ) -> None:
        """`sections` are added to the configuration."""
        self._sections = sections
        self._folder = folder
        self._data = folder / "data"
        self._clip_seconds = clip_seconds
        self._cameras = 0
        self._program: Program | None = None

    def start(self, sources: list[str]) -> None:
        self._folder.mkdir(parents=True)
        self._cameras = len(sources)
        file = self._folder / "cradle.yaml"
        content = configuration(sources, self._clip_seconds, self._sections)
        file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        ours = {key: value for key, value in os.environ.items() if not key.startswith("CRADLE_")}
        self._program = Program(
            "cradle-up",
            [
                *(sys.executable, "-m", "deploy.command.up"),
                *("--config", str(file), "--data", str(self._data)),
            ],
            folder=self._folder,
            environment=ours,
        )
        self._program.start()

    def playlists(self) -> dict[int, Path]:
        live = self._data / "live"
        return {number: live / camera_id(number) / "index.m3u8" for number in range(self._cameras)}

    def named_processes(self) -> Mapping[int, str]:
        if self._program is None:
            return {}
        self._program.require_running()
        workers = {}
        for file in (self._data / "run").glob("*.pid"):
            if pid := file.read_text().strip():  # empty for the moment in which it is written
                workers[int(pid)] = file.stem
        names = {self._program.pid: _SUPERVISOR}
        for process in processes().values():
            if process.parent == self._program.pid:
                names[process.pid] = workers.get(process.pid) or _server(command_of(process.pid))
        return names

    def metrics_address(self, worker: str) -> str:
        """Raises FileNotFoundError, KeyError while it is not started."""
        port = _port_of(self._data / "run" / "ports.json", worker)
        return f"http://127.0.0.1:{port}/metrics"

    def troubles(self) -> dict[str, float]:
        sums: dict[str, float] = {}
        for file in sorted((self._data / "run").glob("*.pid")):
            text = fetch(self.metrics_address(file.stem))
            if not text:
                sums[f"{file.stem} did not answer"] = 1
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    if sample.name in TROUBLES and sample.value:
                        reason = sample.labels.get("reason")
                        name = f"{sample.name} ({reason})" if reason else sample.name
                        sums[name] = sums.get(name, 0.0) + sample.value
        return sums

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop(STOP_SECONDS)

    def recorded(self) -> Iterator[tuple[int, Mark]]:
        """Raises AssertionError where a manifest does not tell what its clip holds."""
        store = Store(self._data / "store")
        store.start()
        try:
            store.wait_ready()
            settings = ArchiveSettings(
                endpoint=store.endpoint,
                access_key=store.access_key,
                secret_key=SecretStr(store.secret_key),
            )
            objects = ObjectStore(settings)
            for number in range(self._cameras):
                for mark in self._in_clips(objects, camera_id(number)):
                    yield number, mark
        finally:
            store.stop()

    def _in_clips(self, objects: ObjectStore, camera: str) -> Iterator[Mark]:
        clip = self._folder / "clip"
        for stored in objects.list(f"clips/{camera}/"):
            name = parse_clip_key(stored.key)
            if name is None or name.suffix != "json":
                continue
            manifest = read_manifest(objects.read(stored.key, LARGEST_MANIFEST_BYTES) or b"")
            objects.download(manifest.object_key, clip)
            marks = list(marks_in(clip))
            clip.unlink()
            said = (manifest.frames, manifest.probed_frames)
            assert said == (len(marks), len(marks)), f"{stored.key}: {said}, found {len(marks)}"
            yield from marks


def _server(command: list[str]) -> str:
    """What a child of `cradle up` is that is no worker."""
    line = " ".join(command)
    if "rabbitmq" in line or "epmd" in line:
        return "broker"
    program = Path(command[0]).name if command else ""
    return "object store" if program == "weed" else _SUPERVISOR


def _port_of(file: Path, worker: str) -> int:
    ports: dict[str, int] = yaml.safe_load(file.read_text())
    return ports[worker]
