"""The index: what the bucket holds, in SQLite, so that a day is answered in milliseconds.

A read model and nothing more: every row is one object of the bucket under its key, fed by events
(`feed.py`) and made good by listings (`reading.py`). Losing the file loses nothing. Several
replicas on a host, and `cradle reindex`, may write the same file: a row is put there whole, and the
same object gives the same row.
"""

import fcntl
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from shared.analysis import Result
from shared.clock import milliseconds
from shared.coverage.footage import stretches_of
from shared.custody import CustodyRecord, EpochBegun
from shared.identity import epoch_started_at
from shared.manifest import Manifest

FILE: Final = "index.sqlite"
"""In the viewer's folder."""
VERSION: Final = 2
"""Of the schema. A file of another one is emptied and read anew."""
BUSY_SECONDS: Final = 30.0
LAST_CHARACTER: Final = "\U0010ffff"

_SCHEMA: Final = """
CREATE TABLE clips (
    key TEXT PRIMARY KEY, camera TEXT NOT NULL, epoch TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, starts INTEGER NOT NULL, ends INTEGER NOT NULL,
    frames INTEGER NOT NULL, bytes INTEGER NOT NULL, container TEXT NOT NULL, codec TEXT NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, has_sound INTEGER NOT NULL,
    object_key TEXT NOT NULL, poster_key TEXT, reason TEXT,
    stretches TEXT NOT NULL, gaps TEXT NOT NULL);
CREATE INDEX clips_by_time ON clips (camera, starts);
CREATE UNIQUE INDEX clips_by_identity ON clips (camera, epoch, first);
CREATE TABLE unreadable (
    key TEXT PRIMARY KEY, camera TEXT NOT NULL, epoch TEXT NOT NULL, first INTEGER NOT NULL,
    captured INTEGER NOT NULL, words TEXT NOT NULL);
CREATE TABLE records (
    key TEXT PRIMARY KEY, camera TEXT NOT NULL, day TEXT NOT NULL, kind TEXT NOT NULL,
    body TEXT NOT NULL);
CREATE INDEX records_by_day ON records (camera, day);
CREATE TABLE notes (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, camera TEXT NOT NULL,
    starts INTEGER NOT NULL, ends INTEGER NOT NULL, activity TEXT NOT NULL, other_activity TEXT,
    children TEXT NOT NULL, adults TEXT NOT NULL, view TEXT NOT NULL, judged_by TEXT NOT NULL,
    summary TEXT NOT NULL, evidence TEXT NOT NULL, changed REAL NOT NULL,
    picture_key TEXT NOT NULL, picture_at INTEGER NOT NULL,
    remote_state TEXT, remote_reason TEXT, remote_until INTEGER,
    judged_at INTEGER NOT NULL,
    requests INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL);
CREATE INDEX notes_by_time ON notes (camera, starts);
CREATE INDEX notes_by_judgement ON notes (judged_at);
CREATE INDEX notes_by_start ON notes (starts);
CREATE VIRTUAL TABLE words USING fts5(
    summary, evidence, content='notes', content_rowid='id', tokenize='trigram');
CREATE TRIGGER notes_added AFTER INSERT ON notes BEGIN
    INSERT INTO words (rowid, summary, evidence) VALUES (new.id, new.summary, new.evidence);
END;
CREATE TRIGGER notes_removed AFTER DELETE ON notes BEGIN
    INSERT INTO words (words, rowid, summary, evidence)
    VALUES ('delete', old.id, old.summary, old.evidence);
END;
CREATE TABLE holds (key TEXT PRIMARY KEY, camera TEXT NOT NULL);
CREATE TABLE cameras (camera TEXT PRIMARY KEY, since INTEGER NOT NULL);
"""
TABLES: Final = ("clips", "unreadable", "records", "notes", "holds")
"""Those whose rows are objects of the bucket, by key."""


@dataclass(frozen=True)
class Row:
    """A row for one table: column to value."""

    table: str
    values: dict[str, Any]
    since: int | None = None
    """The camera was recording at this moment (milliseconds), says the object."""

    @property
    def key(self) -> str:
        return str(self.values["key"])


def clip_row(manifest: Manifest) -> Row:
    """A committed clip."""
    stream = manifest.stream
    return Row(
        "clips",
        {
            "key": manifest.identity.manifest_key,
            "camera": manifest.camera,
            "epoch": manifest.epoch,
            "first": manifest.first,
            "last": manifest.last,
            "starts": milliseconds(manifest.starts_at),
            "ends": milliseconds(manifest.ends_at),
            "frames": manifest.frames,
            "bytes": manifest.bytes,
            "container": manifest.container,
            "codec": stream.video_codec,
            "width": stream.width,
            "height": stream.height,
            "has_sound": int(stream.audio_codec is not None),
            "object_key": manifest.object_key,
            "poster_key": manifest.poster_key,
            "reason": manifest.reason,
            "stretches": json.dumps([asdict(each) for each in stretches_of(manifest)]),
            "gaps": json.dumps([each.model_dump(mode="json") for each in manifest.gaps]),
        },
        milliseconds(epoch_started_at(manifest.epoch)),
    )


def record_row(key: str, record: CustodyRecord) -> Row:
    """A custody record; its day is the folder that it lies in."""
    body = record.to_body().decode()
    day = "-".join(key.split("/")[2:5])
    values = {"key": key, "camera": record.camera, "day": day, "kind": record.kind, "body": body}
    since = milliseconds(epoch_started_at(record.epoch)) if isinstance(record, EpochBegun) else None
    return Row("records", values, since)


def note_row(key: str, result: Result) -> Row:
    """A judged sample."""
    seen, remote = result.observation, result.remote
    return Row(
        "notes",
        {
            "key": key,
            "camera": result.camera,
            "starts": milliseconds(result.starts_at),
            "ends": milliseconds(result.ends_at),
            "activity": seen.activity.value,
            "other_activity": seen.other_activity and seen.other_activity.value,
            "children": seen.children.value,
            "adults": seen.adults.value,
            "view": seen.view.value,
            "judged_by": result.judged_by,
            "summary": seen.summary,
            "evidence": seen.evidence,
            "changed": result.measured.changed_share,
            "picture_key": result.picture_key,
            "picture_at": milliseconds(result.picture_at),
            "remote_state": None if remote is None else remote.state,
            "remote_reason": None if remote is None else remote.reason,
            "remote_until": None if remote is None else _milliseconds(remote.until),
            "judged_at": milliseconds(result.judged_at),
            "requests": 0 if remote is None else remote.requests,
            "input_tokens": 0 if remote is None else remote.input_tokens,
            "output_tokens": 0 if remote is None else remote.output_tokens,
        },
    )


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else milliseconds(moment)


class Index:
    """The file. One connection a thread, closed with it."""

    def __init__(self, path: Path) -> None:
        """Opens or makes it. A file that is no index of this version is put in its place."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._local = threading.local()
        with path.with_suffix(".lock").open("w") as lock:  # two may come at the same time
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._version() != VERSION:
                self._begin_anew()

    def _version(self) -> int | None:
        """None if it is no index at all. Raises OperationalError if that cannot be seen now."""
        try:
            with self._connected() as database:
                version: int = database.execute("PRAGMA user_version").fetchone()[0]
                if version == VERSION:
                    database.execute("SELECT count(*) FROM clips")
                return version
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise
        except sqlite3.DatabaseError:  # "file is not a database", "malformed"
            return None

    def _begin_anew(self) -> None:
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        with self._connected() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_SCHEMA)
            database.execute(f"PRAGMA user_version = {VERSION}")
        self._path.chmod(0o600)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, in a transaction."""
        database: sqlite3.Connection | None = getattr(self._local, "database", None)
        if database is None:
            database = sqlite3.connect(self._path, timeout=BUSY_SECONDS)
            database.row_factory = sqlite3.Row
            database.execute("PRAGMA synchronous = NORMAL")
            self._local.database = database
        with database:
            yield database

    def close(self) -> None:
        """This thread's connection."""
        database = getattr(self._local, "database", None)
        if database is not None:
            database.close()
            self._local.database = None

    # -- writing ------------------------------------------------------------------------------

    def put(self, rows: Iterable[Row]) -> None:
        """Add rows; one whose key is there is replaced."""
        with self._connected() as database:
            for row in rows:
                self._delete(database, row.table, row.key)
                if row.table in {"clips", "unreadable"}:  # it is one or the other
                    other = "clips" if row.table == "unreadable" else "unreadable"
                    self._delete(database, other, row.key)
                names = ", ".join(row.values)
                marks = ", ".join("?" * len(row.values))
                database.execute(
                    f"INSERT OR REPLACE INTO {row.table} ({names}) VALUES ({marks})",  # noqa: S608
                    list(row.values.values()),
                )
                if row.since is not None:
                    self._note_since(database, row.values["camera"], row.since)

    def remove(self, table: str, keys: Iterable[str]) -> None:
        """Objects that are no more."""
        with self._connected() as database:
            for key in keys:
                self._delete(database, table, key)

    def _delete(self, database: sqlite3.Connection, table: str, key: str) -> None:
        database.execute(f"DELETE FROM {table} WHERE key = ?", (key,))  # noqa: S608 - a table of ours

    def forget(self, camera: str) -> None:
        """Everything of a camera, to be read anew."""
        with self._connected() as database:
            for table in (*TABLES, "cameras"):
                database.execute(f"DELETE FROM {table} WHERE camera = ?", (camera,))  # noqa: S608

    def set_since(self, camera: str, since: int) -> None:
        """A camera's first epoch began at that time or earlier (milliseconds)."""
        with self._connected() as database:
            self._note_since(database, camera, since)

    def _note_since(self, database: sqlite3.Connection, camera: str, since: int) -> None:
        database.execute(
            "INSERT INTO cameras VALUES (?, ?)"
            " ON CONFLICT (camera) DO UPDATE SET since = min(since, excluded.since)",
            (camera, since),
        )

    # -- reading ------------------------------------------------------------------------------

    def select(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Rows of a query."""
        with self._connected() as database:
            return database.execute(query, values).fetchall()

    def keys(self, table: str, prefix: str) -> set[str]:
        """Keys of a table that begin with a prefix."""
        rows = self.select(
            f"SELECT key FROM {table} WHERE key >= ? AND key < ?",  # noqa: S608 - a table of ours
            (prefix, prefix + LAST_CHARACTER),
        )
        return {row["key"] for row in rows}

    def clips_below(self, prefix: str) -> list[sqlite3.Row]:
        """Clips whose manifest's key begins with a prefix."""
        return self.select(
            "SELECT * FROM clips WHERE key >= ? AND key < ?", (prefix, prefix + LAST_CHARACTER)
        )

    def clips_between(self, camera: str, starts: int, ends: int) -> list[sqlite3.Row]:
        """Clips of a camera that begin in a span (milliseconds, the end excluded), in order."""
        return self.select(
            "SELECT * FROM clips WHERE camera = ? AND starts >= ? AND starts < ? ORDER BY starts",
            (camera, starts, ends),
        )

    def clip(self, camera: str, epoch: str, first: int) -> sqlite3.Row | None:
        """A clip by its identity."""
        rows = self.select(
            "SELECT * FROM clips WHERE camera = ? AND epoch = ? AND first = ?",
            (camera, epoch, first),
        )
        return rows[0] if rows else None

    def held(self, camera: str) -> set[str]:
        """Manifest keys of the clips on hold."""
        rows = self.select("SELECT key FROM holds WHERE camera = ?", (camera,))
        return {row["key"].partition("/")[2] for row in rows}

    def cameras(self) -> set[str]:
        """Cameras of which anything is known."""
        return {row["camera"] for row in self.select("SELECT camera FROM cameras")}

    def since(self, camera: str) -> int | None:
        """When a camera's first epoch ever began (milliseconds), if that is known."""
        rows = self.select("SELECT since FROM cameras WHERE camera = ?", (camera,))
        return rows[0]["since"] if rows else None
