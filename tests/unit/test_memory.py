"""Memory of large blocks: what a worker does not need any more, the machine has again."""

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, sys
import numpy as np
from shared.memory import BLOCK_BYTES, give_large_blocks_back

class Malloc(ctypes.Structure):  # mallinfo2(3), of which `hblkhd` are the bytes in own mappings
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks \
fsmblks uordblks fordblks keepcost".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Malloc
assert sys.argv[1] == "no" or give_large_blocks_back()
np.zeros(2 * BLOCK_BYTES, np.uint8)  # given back at once, which raises a limit not fixed
before = libc.mallinfo2().hblkhd
block = np.zeros(2 * BLOCK_BYTES, np.uint8)
print(libc.mallinfo2().hblkhd - before >= block.nbytes)
"""


@pytest.mark.parametrize(("fixed", "own"), [("yes", "True"), ("no", "False")])
def test_a_large_block_is_a_mapping_of_its_own_however_many_there_were_before(
    fixed: str, own: str
) -> None:
    command = [sys.executable, "-c", SCRIPT, fixed]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert told.strip() == own
