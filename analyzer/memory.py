"""The blocks of pictures, given back to the system when a picture is.

glibc takes a large block from the system by itself and gives it back, but each one that is given
back raises the limit for the next (up to 32 MiB, `mallopt(3)`, M_MMAP_THRESHOLD): soon the pictures
of all slots lie in heaps, which they leave in pieces that never shrink. With a fixed limit they do
not; a sample then costs some page faults more. `python -m tests.bench.picture_memory` shows both.
"""

import ctypes
from typing import Final

PICTURE_BLOCK_BYTES: Final = 512 * 1024
"""Under the plane of a decoded 720p frame (921,600 bytes), above everything that is made often."""
_M_MMAP_THRESHOLD: Final = -3


def give_pictures_back() -> bool:
    """For the whole process, to be called once at its start. False where there is no glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, PICTURE_BLOCK_BYTES))
