"""The bucket of live output: playlists are replaced all the time, and nobody waits long for one.

It is another bucket than the archive's, on the same server, and its client sends no create-only
header: what is live is worth nothing a minute later. But a playlist is replaced only by who knows
its newest version (the ETag): a request that was under way while its writer froze, and arrives
behind its successor's, does nothing. `probe` demands that the store keeps this rule.
"""

import io
import secrets
from contextlib import closing
from typing import Final

from shared.bucketplace import BucketPlace
from shared.config import ArchiveSettings
from shared.createonly import ConditionalPool
from shared.errors import AlreadyExists, Misconfigured, NoSuchKey, Overtaken
from shared.objectstore import PART_BYTES, ObjectStore, within

READ_SECONDS: Final = 5.0


class LiveStore(ObjectStore):
    """Keys are relative to the bucket; `prefix` is the place's."""

    def __init__(self, settings: ArchiveSettings, place: BucketPlace) -> None:
        """Connects to nothing yet. Raises Misconfigured."""
        self._pool = ConditionalPool(READ_SECONDS, retries=0)
        super().__init__(settings, place.bucket, named="live.url", pool=self._pool)
        self.prefix = place.prefix
        self._is_probed = False

    def probe_once(self) -> None:
        """As `probe`, until it has been passed."""
        if not self._is_probed:
            self.probe()
            self._is_probed = True

    def probe(self) -> None:
        """Demand of the store that it answers, knows us and replaces what is newest alone.

        Writes a random key below the prefix, and removes it. Raises Misconfigured,
        StoreUnavailable.
        """
        key = f"{self.prefix}probe-{secrets.token_hex(6)}"
        try:
            first = self.replace_version(key, b"first", None, content_type="text/plain")
            self.replace_version(key, b"second", first, content_type="text/plain")
            for stale in (None, first):
                try:
                    self.replace_version(key, b"third", stale, content_type="text/plain")
                except Overtaken:
                    continue
                raise Misconfigured(
                    f"live.url: the {self._where} replaces an object though another version of it"
                    " was named (If-Match); a live picture could go back in time in it; use"
                    " SeaweedFS from 4.18, MinIO or Amazon S3"
                )
        finally:
            self.remove(key)

    def replace(self, key: str, data: bytes, *, content_type: str) -> None:
        """Write an object, whatever was there. Raises StoreUnavailable, Misconfigured."""
        self._put(key, data, content_type)

    def replace_version(
        self, key: str, data: bytes, version: str | None, *, content_type: str
    ) -> str:
        """Write an object in the place of this version (None: of nothing); says the new one.

        Raises Overtaken if something else is there, StoreUnavailable, Misconfigured.
        """
        with self._pool.on_condition(version):
            try:
                return self._put(key, data, content_type)
            except (AlreadyExists, NoSuchKey) as error:  # Amazon's word for what was deleted
                raise Overtaken(f"{key} is not what it was") from error

    def read_version(self, key: str, limit_bytes: int) -> tuple[bytes, str] | None:
        """The content of a small object and its version. Raises as `read`."""
        try:
            with (
                self._translated(),
                closing(self._client.get_object(self._bucket, key)) as response,
            ):
                data = response.read(limit_bytes + 1)
        except NoSuchKey:
            return None
        return within(limit_bytes, key, data), response.headers["ETag"].strip('"')

    def _put(self, key: str, data: bytes, content_type: str) -> str:
        whole = max(PART_BYTES, len(data))  # one request: nobody here aborts parts of who died
        with self._translated():
            result = self._client.put_object(
                self._bucket, key, io.BytesIO(data), len(data), content_type, part_size=whole
            )
        return result.etag or ""
