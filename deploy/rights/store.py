"""Rights in the object store: which keys of which bucket each stage may read, create and delete.

They are policies in Amazon's language, which MinIO and SeaweedFS understand alike. Whoever reads in
a bucket may also list it: without that right S3 answers "forbidden" and not "no such key" for a key
that is not there, and Cradle lives by the difference. A listing shows names, never a picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.messages import Stage

ARCHIVE: Final = "archive"
FRAMES: Final = "frames"
LIVE: Final = "live"
BUCKETS: Final = {ARCHIVE: "cradle", FRAMES: "cradle-frames", LIVE: "cradle-live"}
"""Name of each bucket by what it is for."""
OPERATOR: Final = "operator"
"""Who runs `cradle` commands: reads everything."""

_READ: Final = ("s3:GetObject",)
_CREATE: Final = ("s3:PutObject",)
_ABORT: Final = ("s3:AbortMultipartUpload",)
"""Where something goes in parts: clips, and the probe. Frames and live output never do."""
_DELETE: Final = ("s3:DeleteObject",)
_LIST: Final = ("s3:ListBucket",)
_UPLOADS: Final = ("s3:ListBucketMultipartUploads",)


@dataclass(frozen=True)
class Grant:
    """Some actions on the keys of one bucket that begin so."""

    bucket: str
    prefixes: tuple[str, ...]
    actions: tuple[str, ...]


def _whole(bucket: str, *actions: str) -> Grant:
    return Grant(bucket, ("",), actions)


_PROBE: Final = Grant(ARCHIVE, ("probe/",), (*_READ, *_CREATE, *_DELETE, *_ABORT))
_PROBE_FRAMES: Final = Grant(FRAMES, _PROBE.prefixes, _PROBE.actions)
"""The look at a store's manners (`ObjectStore.probe`)."""
_PROBE_LIVE: Final = Grant(LIVE, ("probe-",), (*_READ, *_CREATE, *_DELETE))
"""The same of the live bucket (`LiveStore.probe`)."""

GRANTS: Final[Mapping[str, tuple[Grant, ...]]] = {
    # Looks clips up before it deletes fragments, and writes down what was lost.
    Stage.INGEST: (
        Grant(ARCHIVE, ("clips/", "custody/"), _READ),
        Grant(ARCHIVE, ("custody/",), _CREATE),
        _whole(FRAMES, *_READ, *_CREATE, *_DELETE),
    ),
    Stage.ENCODER: (
        _whole(FRAMES, *_READ),
        _whole(LIVE, *_READ, *_CREATE, *_DELETE),
    ),
    # Makes clips, and after retention_days takes them and the notes away; custody stays for ever.
    Stage.ARCHIVER: (
        Grant(ARCHIVE, ("clips/", "custody/"), (*_READ, *_CREATE)),
        Grant(ARCHIVE, ("clips/", "analysis/"), _DELETE),
        _whole(ARCHIVE, *_ABORT),  # of whatever was left over, too
        _PROBE,
        _whole(FRAMES, *_READ),
    ),
    Stage.ANALYZER: (
        Grant(ARCHIVE, ("analysis/", "budget/"), (*_READ, *_CREATE)),
        Grant(ARCHIVE, ("budget/",), _DELETE),
        _PROBE,
        _whole(FRAMES, *_READ),
    ),
    Stage.VIEWER: (
        Grant(ARCHIVE, ("clips/", "analysis/", "custody/", "holds/"), _READ),
        Grant(ARCHIVE, ("holds/",), (*_CREATE, *_DELETE)),
        _whole(FRAMES),  # counted, and not looked at
        _whole(LIVE, *_READ),
    ),
    OPERATOR: (
        _whole(ARCHIVE, *_READ),
        _PROBE,
        _PROBE_FRAMES,
        _PROBE_LIVE,
        _whole(FRAMES, *_READ),
        _whole(LIVE, *_READ),
    ),
}
"""By the name of the store's user."""


def policy_of(user: str) -> dict[str, Any]:
    """The policy of a user, as a document."""
    grants = GRANTS[user]
    statements = [
        {
            "Effect": "Allow",
            "Action": sorted(grant.actions),
            "Resource": [f"{_arn(grant.bucket)}/{each}*" for each in grant.prefixes],
        }
        for grant in grants
        if grant.actions
    ]
    for bucket in sorted({grant.bucket for grant in grants}):
        aborts = user == Stage.ARCHIVER and bucket == ARCHIVE
        actions = [*_LIST, *(_UPLOADS if aborts else ())]
        statements.append(
            {"Effect": "Allow", "Action": sorted(actions), "Resource": [_arn(bucket)]}
        )
    return {"Version": "2012-10-17", "Statement": statements}


def _arn(bucket: str) -> str:
    return f"arn:aws:s3:::{BUCKETS[bucket]}"
