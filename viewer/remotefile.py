"""An object of the bucket as a file that can be read anywhere, for PyAV: only what is read is
fetched, in blocks, of which some are kept."""

import io
from collections import OrderedDict
from typing import Final

from shared.objectstore import ObjectStore

BLOCK_BYTES: Final = 512 * 1024
KEPT_BLOCKS: Final = 24


class RemoteFile(io.RawIOBase):
    """Read-only; for one thread. Reading raises StoreUnavailable, Refused."""

    def __init__(self, store: ObjectStore, key: str, size: int) -> None:
        super().__init__()
        self._store = store
        self._key = key
        self._size = size
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._position)
        wanted = left if size < 0 else min(size, left)
        pieces = []
        while wanted > 0:
            number, inside = divmod(self._position, BLOCK_BYTES)
            piece = self._block(number)[inside : inside + wanted]
            if not piece:
                break
            pieces.append(piece)
            self._position += len(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def _block(self, number: int) -> bytes:
        found = self._blocks.get(number)
        if found is None:
            offset = number * BLOCK_BYTES
            length = min(BLOCK_BYTES, self._size - offset)
            found = b"".join(self._store.stream(self._key, offset, length))
            self._blocks[number] = found
            if len(self._blocks) > KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        else:
            self._blocks.move_to_end(number)
        return found
