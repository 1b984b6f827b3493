"""Sessions: a signed cookie that says who logged in when, and a list of those that have ended.

Any replica with the same `viewer.secret` believes the cookie; what has ended is noted in a small
SQLite file in the viewer's folder, which the replicas of a host share, by the hash of its id, and
told to all others (`viewer/endings.py`). A session ends when its time is over, on logging out, and
when the password changes.
"""

import hashlib
import hmac
import secrets
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from itsdangerous import BadData, URLSafeSerializer

from shared.clock import Clock
from shared.users import User, Users

FILE: Final = "sessions.sqlite"
MOST: Final = 100_000
"""Ended sessions that are remembered; each was a log-in."""
SLACK_SECONDS: Final = 3600.0
"""Another replica's clock may be ahead."""
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS endings (digest TEXT PRIMARY KEY, forget_at REAL NOT NULL)"
)


@dataclass(frozen=True)
class Session:
    """Somebody is logged in."""

    id: str
    user: User
    csrf_token: str
    """What requests that change something must bring, beside the cookie."""
    ends_at: float
    """Seconds since 1970."""

    @property
    def ending(self) -> "Ending":
        """What is noted when it is ended."""
        return Ending(digest_of(self.id), self.ends_at)


class Ending(NamedTuple):
    """A session that was ended before its time."""

    digest: str
    """Of its id: see `digest_of`."""
    forget_at: float
    """When its time is over, seconds since 1970."""


class Sessions:
    """Begins, knows and ends them. Safe to use from many threads."""

    def __init__(
        self, folder: Path, secret: str | None, hours: float, users: Users, clock: Clock
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._users = users
        self._clock = clock
        self._seconds = hours * 3600
        self._secret = (secret or secrets.token_urlsafe(32)).encode()
        self._signer = URLSafeSerializer(self._secret, "cradle session")
        self._lock = threading.Lock()
        self._ended = sqlite3.connect(folder / FILE, check_same_thread=False, timeout=2)
        with self._ended:
            self._ended.execute(_SCHEMA)
        (folder / FILE).chmod(0o600)

    def begin(self, user: User) -> tuple[str, Session]:
        """The cookie's content, and the session."""
        session_id = secrets.token_hex(16)
        ends_at = self._clock.now().timestamp() + self._seconds
        content = {"i": session_id, "u": user.name, "f": user.fingerprint, "e": ends_at}
        cookie = self._signer.dumps(content)
        assert isinstance(cookie, str)  # noqa: S101 - as its default encoding gives
        return cookie, self._session(session_id, user, ends_at)

    def find(self, cookie: str | None) -> Session | None:
        """The session of a cookie, if it is one of ours and goes on."""
        if not cookie or len(cookie) > 4000:
            return None
        try:
            content = self._signer.loads(cookie)
            session_id, name = str(content["i"]), str(content["u"])
            fingerprint, ends_at = str(content["f"]), float(content["e"])
        except (BadData, KeyError, TypeError, ValueError):
            return None
        user = self._users.named(name)
        if user is None or not hmac.compare_digest(user.fingerprint, fingerprint):
            return None
        if self._clock.now().timestamp() >= ends_at or self._has_ended(session_id):
            return None
        return self._session(session_id, user, ends_at)

    def end(self, *endings: Ending) -> None:
        """Log out: these cookies are worth nothing from now on."""
        now = self._clock.now().timestamp()
        known = [
            (digest, min(at, now + self._seconds + SLACK_SECONDS))
            for digest, at in endings
            if at > now
        ]
        with self._lock, self._ended:
            self._ended.execute("DELETE FROM endings WHERE forget_at < ?", (now,))
            count = self._ended.execute("SELECT count(*) FROM endings").fetchone()[0]
            room = max(0, MOST - count)
            self._ended.executemany("INSERT OR IGNORE INTO endings VALUES (?, ?)", known[:room])

    def ended(self) -> list[Ending]:
        """All that have ended before their time, which is not yet over; the newest first."""
        now = self._clock.now().timestamp()
        with self._lock:
            rows = self._ended.execute(
                "SELECT digest, forget_at FROM endings WHERE forget_at > ? ORDER BY forget_at DESC",
                (now,),
            ).fetchall()
        return [Ending(*row) for row in rows]

    def close(self) -> None:
        self._ended.close()

    def _session(self, session_id: str, user: User, ends_at: float) -> Session:
        token = hmac.new(self._secret, f"csrf {session_id}".encode(), "sha256").hexdigest()
        return Session(session_id, user, token, ends_at)

    def _has_ended(self, name: str) -> bool:
        asked = "SELECT 1 FROM endings WHERE digest = ?"
        with self._lock:
            return bool(self._ended.execute(asked, (digest_of(name),)).fetchall())


def digest_of(session_id: str) -> str:
    """What may be told and kept of a session's id."""
    return hashlib.sha256(session_id.encode()).hexdigest()
