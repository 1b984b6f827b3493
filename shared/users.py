"""Who may look: users of the configuration, and of `users.json` in the viewer's folder.

The file is written by `cradle user` and by the set-up page, whole and under a lock, and read again
when it has changed: a new user needs no restart. Passwords are argon2id hashes. Checking one costs
the same whether the name is known or not.
"""

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from pydantic import SecretStr, TypeAdapter, ValidationError

from shared.errors import Misconfigured, Refused
from shared.privatefile import write_private
from shared.viewersettings import Role, UserSettings, ViewerSettings

LEAST_PASSWORD: Final = 10
MOST_PASSWORD: Final = 200
FILE: Final = "users.json"

_hasher = PasswordHasher()
_NOBODY: Final = _hasher.hash(os.urandom(16).hex())
"""Checked when the name is unknown, so that the answer takes as long."""
_hashing = threading.Semaphore(2)
"""One takes 64 MiB: many at once must not take all memory."""
_users = TypeAdapter(list[UserSettings])


class PasswordRefused(Refused):
    """A password that nobody should use, or a name that is taken."""


@dataclass(frozen=True)
class User:
    """Somebody who may look."""

    name: str
    role: Role
    fingerprint: str
    """Changes with the password: sessions of the old one end."""


class Users:
    """All of them. Safe to use from many threads."""

    def __init__(self, settings: ViewerSettings) -> None:
        self._configured = {user.name: user for user in settings.users}
        self._file = settings.root / FILE
        self._read_at: tuple[int, int] | None = None
        self._in_file: dict[str, UserSettings] = {}

    def __bool__(self) -> bool:
        """Whether there is anybody."""
        return bool(self._all())

    def named(self, name: str) -> User | None:
        """A user by name."""
        found = self._all().get(name)
        return None if found is None else _public(found)

    def check(self, name: str, password: str) -> User | None:
        """The user, if that is their password. Takes tens of milliseconds, as it should."""
        found = self._all().get(name)
        known = _NOBODY if found is None else found.password_hash.get_secret_value()
        try:
            with _hashing:
                _hasher.verify(known, password[:MOST_PASSWORD])
        except (Argon2Error, InvalidHashError):
            return None
        return None if found is None else _public(found)

    def add(self, name: str, role: Role, password: str, *, only_first: bool = False) -> User:
        """Add a user to the file, or change the one that is there.

        `only_first`: refuse if there is any user at all. Raises PasswordRefused, Misconfigured.
        """
        hashed = hash_of(password)
        if name in self._configured:
            raise PasswordRefused(f"{name} stands in the configuration; change it there")
        try:
            made = UserSettings(name=name, role=role, password_hash=SecretStr(hashed))
        except ValidationError:
            raise PasswordRefused(
                "a name has up to 40 characters, and no spaces, slashes or colons"
            ) from None
        with self._locked():
            if only_first and self:
                raise PasswordRefused("there is a user already")
            self._write({**self._all_in_file(), made.name: made})
        return _public(made)

    def remove(self, name: str) -> bool:
        """Take a user out of the file; False if it is not there."""
        with self._locked():
            users = dict(self._all_in_file())
            if users.pop(name, None) is None:
                return False
            self._write(users)
        return True

    def listed(self) -> list[User]:
        """All of them, by name."""
        return [_public(user) for _, user in sorted(self._all().items())]

    # -- the file -----------------------------------------------------------------------------

    def _all(self) -> dict[str, UserSettings]:
        return {**self._all_in_file(), **self._configured}

    def _all_in_file(self) -> dict[str, UserSettings]:
        try:
            status = self._file.stat()
            changed = (status.st_mtime_ns, status.st_ino)
            if changed != self._read_at:
                users = _users.validate_json(self._file.read_bytes())
                self._in_file, self._read_at = {user.name: user for user in users}, changed
        except FileNotFoundError:
            self._in_file, self._read_at = {}, None
        except (OSError, ValidationError) as error:
            why = getattr(error, "strerror", None) or "it is not what `cradle user` writes"
            raise Misconfigured(f"{self._file} cannot be read: {why}") from None
        return self._in_file

    def _write(self, users: dict[str, UserSettings]) -> None:
        body = [
            {"name": user.name, "role": user.role, "password_hash": _hash_of(user)}
            for user in users.values()
        ]
        write_private(self._file, json.dumps(body, ensure_ascii=False, indent=1))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def hash_of(password: str) -> str:
    """Its argon2id hash. Raises PasswordRefused for one that is too short or too long."""
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        raise PasswordRefused(
            f"a password has between {LEAST_PASSWORD} and {MOST_PASSWORD} characters"
        )
    return _hasher.hash(password)


def _hash_of(user: UserSettings) -> str:
    return user.password_hash.get_secret_value()


def _public(user: UserSettings) -> User:
    fingerprint = hashlib.sha256(_hash_of(user).encode()).hexdigest()[:16]
    return User(user.name, user.role, fingerprint)
