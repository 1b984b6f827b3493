"""An object store in memory, that can be away: for tests whose rule is not the store's."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import md5

from shared.clock import Clock
from shared.errors import AlreadyExists, CradleError, Overtaken, Refused, StoreUnavailable
from shared.objectstore import StoredObject


@dataclass
class MemoryStore:
    """The part of `ObjectStore` and `LiveStore` that is used of a frame store and of live."""

    clock: Clock
    prefix: str = ""
    is_away: bool = False
    refuses: tuple[CradleError, Container[str]] | None = None
    """How it answers these requests."""
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(what, key) of all requests."""
    _metadata: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _written_at: dict[str, datetime] = field(default_factory=dict)

    def _ask(self, what: str, key: str) -> None:
        self.asked.append((what, key))
        if self.is_away:
            raise StoreUnavailable("the store is away")
        if self.refuses is not None and what in self.refuses[1]:
            raise self.refuses[0]

    def create_bytes(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> bool:
        self._ask("create", key)
        if key in self.objects:
            if self.objects[key] != data:
                raise AlreadyExists(key)
            return False
        self._put(key, data, metadata or {})
        return True

    def replace(self, key: str, data: bytes, *, content_type: str) -> None:
        self._ask("replace", key)
        self._put(key, data, {})

    def probe_once(self) -> None:
        self._ask("probe", self.prefix)

    def replace_version(
        self, key: str, data: bytes, version: str | None, *, content_type: str
    ) -> str:
        self._ask("replace", key)
        if version != (self._version(key) if key in self.objects else None):
            raise Overtaken(key)
        self._put(key, data, {})
        return self._version(key)

    def read_version(self, key: str, limit_bytes: int) -> tuple[bytes, str] | None:
        self._ask("read", key)
        return (self.objects[key], self._version(key)) if key in self.objects else None

    def _version(self, key: str) -> str:
        return md5(self.objects[key], usedforsecurity=False).hexdigest()

    def _put(self, key: str, data: bytes, metadata: Mapping[str, str]) -> None:
        self.objects[key] = data
        self._metadata[key] = metadata
        self._written_at[key] = self.clock.now()

    def read(self, key: str, limit_bytes: int = 1 << 30) -> bytes | None:
        self._ask("read", key)
        return self.objects.get(key)

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        self._ask("read", key)
        data = self.objects.get(key)
        if data is not None and offset >= len(data):
            raise Refused(f"{key}: is shorter")
        return None if data is None else data[offset : offset + length]

    def stat(self, key: str) -> StoredObject | None:
        self._ask("stat", key)
        return self._described(key) if key in self.objects else None

    def list(self, prefix: str, start_after: str | None = None) -> Iterator[StoredObject]:
        self._ask("list", prefix)
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield self._described(key)

    def folders(self, prefix: str) -> frozenset[str]:
        self._ask("list", prefix)
        rest = (key.removeprefix(prefix) for key in self.objects if key.startswith(prefix))
        return frozenset(each.partition("/")[0] for each in rest if "/" in each)

    def remove(self, key: str) -> None:
        self._ask("remove", key)
        self.objects.pop(key, None)

    def remove_all(self, keys: Iterable[str]) -> None:
        self._ask("remove all", "")
        for key in keys:
            self.objects.pop(key, None)

    def _described(self, key: str) -> StoredObject:
        return StoredObject(
            key, len(self.objects[key]), self._written_at[key], self._metadata.get(key, {})
        )
