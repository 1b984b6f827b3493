"""The bucket of live output: playlists are replaced all the time, and nobody waits long for one.

It is another bucket than the archive's, on the same server, and its client sends no create-only
header: what is live is worth nothing a minute later.
"""

import io
from typing import Final

from shared.bucketplace import BucketPlace
from shared.config import ArchiveSettings
from shared.createonly import ImpatientPool
from shared.objectstore import PART_BYTES, ObjectStore

READ_SECONDS: Final = 5.0


class LiveStore(ObjectStore):
    """Keys are relative to the place."""

    def __init__(self, settings: ArchiveSettings, place: BucketPlace) -> None:
        """Connects to nothing yet. Raises Misconfigured."""
        pool = ImpatientPool(READ_SECONDS, retries=0)
        super().__init__(settings, place.bucket, named="live.url", pool=pool)
        self.prefix = place.prefix

    def replace(self, key: str, data: bytes, *, content_type: str) -> None:
        """Write an object, whatever was there. Raises StoreUnavailable, Misconfigured."""
        whole = max(PART_BYTES, len(data))  # one request: nobody here aborts parts of who died
        with self._translated():
            self._client.put_object(
                self._bucket, key, io.BytesIO(data), len(data), content_type, part_size=whole
            )
