"""Named places where a worker can be made to die, so that tests kill it exactly there.

`CRADLE_FAULT=archiver.after-upload` makes the process kill itself with SIGKILL when it comes to
that place: nothing is flushed, closed or given back, as with a power cut. Without the variable
these calls do nothing.
"""

import os
import signal

_FAULT = os.environ.get("CRADLE_FAULT", "")


def point(name: str) -> None:
    """Die here if this place was asked for."""
    if name == _FAULT:
        os.kill(os.getpid(), signal.SIGKILL)
