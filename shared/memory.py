"""Large blocks (pictures, whole fragments) are given back to the system when they are freed.

glibc takes a large block from the system as a mapping of its own, but each one that is freed raises
the limit above which it does (up to 32 MiB: `mallopt(3)`, M_MMAP_THRESHOLD). Soon the pictures and
fragments of all threads lie in heaps, and what is small among them keeps these from shrinking.
With a fixed limit they do not grow; a block then costs some page faults. `python -m
tests.bench.blocks` shows both sides.
"""

import ctypes
from typing import Final

BLOCK_BYTES: Final = 512 * 1024
"""Under the plane of a decoded 720p frame (921,600 bytes), over what is made for every packet."""
_M_MMAP_THRESHOLD: Final = -3


def give_large_blocks_back() -> bool:
    """For the whole process, to be called once at its start. False where there is no glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, BLOCK_BYTES))
