"""The error tree. A driver's error is translated into one of these at the edge where it arises.

Three branches, by what the caller does about it: a person must act (`Misconfigured`, exit code 2),
the worker waits and tries again (`Unavailable`), or the one thing at hand is refused and everything
else goes on (`Refused`).
"""

import traceback


class CradleError(Exception):
    """Anything Cradle itself raises; its text is one sentence for a person and holds no secret."""


class Misconfigured(CradleError):
    """A person must change something: names the key or the thing, and what to do. Exit code 2."""


class MissingProgram(Misconfigured):
    """A program that Cradle runs (ffmpeg, rabbitmq-server, weed) is not installed."""


class Unavailable(CradleError):
    """Something outside is away for now (broker, store, camera); waiting and retrying is right."""


class BrokerUnavailable(Unavailable):
    """The broker cannot be reached."""


class LinkLost(BrokerUnavailable):
    """The broker's connection is gone; everything that was built on it must be built again."""


class NoAnswer(BrokerUnavailable):
    """The session with the broker stands, as far as is known, and a call was not answered."""


class QueueAway(Unavailable):
    """The node of the broker's cluster that has this one queue is away; the others are there."""


class NotConfirmed(Unavailable):
    """The broker has a message, and not in every queue that wants it: one is away, perhaps."""


class StoreUnavailable(Unavailable):
    """The object store did not answer, or answered that it cannot serve now."""


class SourceFailed(Unavailable):
    """A camera could not be opened, fell silent or broke off; the text says which."""


class FrameStoreFailed(SourceFailed):
    """A camera's frames cannot be kept: the frame store is full, or cannot be written."""


class ChildFailed(Unavailable):
    """An ffmpeg child ended when it should not have, or did not end when it should have."""


class Refused(CradleError):
    """This one thing is not done; retrying it unchanged is of no use."""


class BadMessage(Refused):
    """A message that cannot be read or may not be obeyed; it goes to `cradle.lost`."""


class BadFragment(Refused):
    """Bytes in the frame store that are not the transport stream their reference promises."""


class FragmentGone(Refused):
    """The referenced fragment is no longer in the frame store."""


class SeatTaken(Refused):
    """Another worker holds this camera's seat."""


class AlreadyExists(Refused):
    """The object store holds this key already; create-only writes never replace."""


class NoSuchKey(Refused):
    """The object store holds nothing under this key."""


class Overtaken(Refused):
    """Somebody else has written this object since it was last read or written here."""


def without_frames(error: Exception) -> Exception:
    """The same error without the frames that it, its causes and their causes came through.

    To be used where a library's error is translated. Libraries raise errors from variables
    (minio-py: `raise response_error`; urllib3: `new_e`): error, traceback and frame then hold each
    other, the frame holds its callers', and these their pictures and fragments, until cycles are
    looked for. An analyzer held 100 MiB of judged pictures so, since a new note's key is not there
    when it is asked for.
    """
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        each = left.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            traceback.clear_frames(each.__traceback__)  # an earlier try's error is in there
            each.__traceback__ = None
            left += [each.__cause__, each.__context__]
    return error
