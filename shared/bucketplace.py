"""Where frames and live output may lie: `file:///a/folder`, or `s3://bucket/prefix`.

The bucket of an `s3://` place is on the archive's server (`archive.endpoint`), under its keys.
"""

import re
from dataclasses import dataclass

from shared.source import file_path

BUCKET_PATTERN = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_PLACE = re.compile(rf"s3://(?P<bucket>{BUCKET_PATTERN})(?:/(?P<prefix>[A-Za-z0-9._/-]*))?")


@dataclass(frozen=True)
class BucketPlace:
    """A bucket, or the part of it below a prefix."""

    bucket: str
    prefix: str
    """Empty, or ending in a slash: it goes in front of each key."""


def bucket_place(url: str) -> BucketPlace | None:
    """The place of an `s3://` address; None for any other."""
    match = _PLACE.fullmatch(url)
    if match is None:
        return None
    prefix = "/".join(part for part in (match["prefix"] or "").split("/") if part)
    return BucketPlace(match["bucket"], f"{prefix}/" if prefix else "")


def check_place(url: str) -> str:
    """The address itself. Raises ValueError if it is neither a folder nor a bucket."""
    if bucket_place(url) is None:
        try:
            file_path(url)
        except ValueError:
            raise ValueError("must look like file:///a/folder or s3://bucket/prefix") from None
    return url
