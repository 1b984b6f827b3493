"""The object store: S3 through the `minio` package, create-only.

An object is written once. Every PUT of an object and every completion of a multipart upload carries
`If-None-Match: *`, so that the store itself refuses a second write of a key with 412. A refusal may
answer one's own request that was sent again because its first answer was lost; so after a refusal,
and after an answer that never came, what lies under the key is compared with what was to be
written: the same content is adopted, other content is `AlreadyExists`, none is `StoreUnavailable`,
which is worth a retry. `probe` demands at start that the store keeps this rule.

Errors of the library, of urllib3 and of the store come out as Cradle's own: `StoreUnavailable`
(wait and try again), `Misconfigured` (credentials, bucket, region, clock), `AlreadyExists`.
One `ObjectStore` serves all threads of a process.
"""

import io
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

from minio import Minio
from minio.datatypes import Part
from minio.deleteobjects import DeleteObject
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, MaxRetryError

from shared.config import ArchiveSettings
from shared.createonly import CreateOnlyPool, ImpatientPool
from shared.errors import (
    AlreadyExists,
    CradleError,
    Misconfigured,
    NoSuchKey,
    Refused,
    StoreUnavailable,
    without_frames,
)

PART_BYTES: Final = 5 * 1024 * 1024
"""What is larger is uploaded in parts of this size."""

PIECE_BYTES: Final = 1024 * 1024
"""What is read at once of a large object."""

_META: Final = "x-amz-meta-"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object."""

    key: str
    bytes: int
    modified_at: datetime | None
    """UTC, by the store's clock."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """User metadata, names in lower case; only `stat` fills it."""


_MEANINGS: Final[tuple[tuple[set[str], type[CradleError], str], ...]] = (
    ({"NoSuchKey", "NoSuchObject"}, NoSuchKey, "{key}: no such object"),
    ({"PreconditionFailed"}, AlreadyExists, "{key} is there already"),
    ({"InvalidRange"}, Refused, "{key}: is shorter"),
    (
        {"NoSuchBucket"},
        Misconfigured,
        "{named}: the {store} has no bucket {bucket}; create it",
    ),
    (
        {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"},
        Misconfigured,
        "archive.access_key, archive.secret_key: the {store} refuses them ({code})",
    ),
    (
        {"RequestTimeTooSkewed"},
        Misconfigured,
        "the clocks of this machine and of the {store} differ too much; set them",
    ),
    (
        {"AuthorizationHeaderMalformed", "PermanentRedirect", "Redirect"},
        Misconfigured,
        "archive.region: the {store} wants another region: {message}",
    ),
)
"""What the store's error codes ask of us."""


class ObjectStore:
    """One bucket, in which nothing is ever replaced."""

    def __init__(
        self,
        settings: ArchiveSettings,
        bucket: str | None = None,
        *,
        named: str = "archive.bucket",
        pool: ImpatientPool | None = None,
        part_bytes: int = PART_BYTES,
        looks_after_silence: bool = True,
    ) -> None:
        """Connects to nothing yet. Raises Misconfigured.

        `bucket` is another one than the archive's, which the configuration names in `named`. What
        is larger than `part_bytes` goes in parts, which may be left over. With
        `looks_after_silence` a write that was not answered ends with a look at what it did; who
        writes again in any case finds out by that.
        """
        for name, value in (
            ("access_key", settings.access_key),
            ("secret_key", settings.secret_key.get_secret_value()),
        ):
            if not value:
                raise Misconfigured(f"archive.{name}: is missing; add it")
        parts = urlsplit(settings.endpoint)
        self._where = f"object store {parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._bucket = bucket or settings.bucket
        self._named = named
        self._part_bytes = part_bytes
        self._looks_after_silence = looks_after_silence
        try:
            self._client = Minio(
                parts.netloc,
                access_key=settings.access_key,
                secret_key=settings.secret_key.get_secret_value(),
                secure=parts.scheme == "https",
                region=settings.region,
                http_client=pool or CreateOnlyPool(self._bucket),
            )
        except ValueError as error:  # of the library, for an address that it cannot use
            raise Misconfigured(f"archive.endpoint: {error}") from error

    def probe(self) -> None:
        """Demand of the store that it answers, knows us and never overwrites.

        Writes a random key below `probe/`, and again in both ways that create an object, and
        removes it. Raises Misconfigured, StoreUnavailable.
        """
        key = f"probe/{secrets.token_hex(8)}"
        try:
            self.create_bytes(key, b"first", content_type="text/plain")
            for how, write in (("", self._write_again), (" in parts", self._write_again_in_parts)):
                try:
                    write(key)
                except AlreadyExists:
                    continue
                raise Misconfigured(
                    f"archive.endpoint: the {self._where} overwrites an object when it is written"
                    f" again{how}, though asked not to (If-None-Match); clips would not be safe in"
                    " it; use SeaweedFS from 4.18, MinIO or Amazon S3"
                )
        finally:
            self.remove(key)

    def ensure_bucket(self) -> None:
        """Create the bucket if it is missing."""
        with self._translated():
            if not self._client.bucket_exists(self._bucket):
                self._client.make_bucket(self._bucket)

    def create_file(
        self,
        key: str,
        path: Path,
        *,
        sha256: str,
        content_type: str,
        metadata: Mapping[str, str],
    ) -> bool:
        """Create an object from a file. True if we did, False if it was there with this content.

        `sha256` (hexadecimal, of the whole file) is stored as user metadata, and with the size it
        says what the same content is. `metadata` is ASCII, else ValueError. Raises AlreadyExists
        if the key holds something else, StoreUnavailable, Misconfigured, OSError of the file.
        """
        size = path.stat().st_size

        def is_same() -> bool | None:
            found = self.stat(key)
            if found is None:
                return None
            return found.bytes == size and found.metadata.get("sha256") == sha256

        with path.open("rb") as file:
            return self._create(
                key, file, size, content_type, {**metadata, "sha256": sha256}, is_same
            )

    def create_bytes(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> bool:
        """Create an object from memory, under the rules of `create_file`, by comparing content."""

        def is_same() -> bool | None:
            found = self._content(key, len(data))
            return found if found is None else found == data

        return self._create(key, io.BytesIO(data), len(data), content_type, metadata or {}, is_same)

    def read(self, key: str, limit_bytes: int = 16 * 1024 * 1024) -> bytes | None:
        """The content of a small object; None if there is none. Raises Refused over the limit."""
        data = self._content(key, limit_bytes)
        return None if data is None else within(limit_bytes, key, data)

    def stat(self, key: str) -> StoredObject | None:
        """Size, time and metadata of an object; None if there is none."""
        try:
            with self._translated():
                found = self._client.stat_object(self._bucket, key)
        except NoSuchKey:
            return None
        headers = {name.lower(): value for name, value in (found.metadata or {}).items()}
        return StoredObject(
            key,
            found.size or 0,
            found.last_modified,
            {name[len(_META) :]: headers[name] for name in headers if name.startswith(_META)},
        )

    def download(self, key: str, path: Path) -> None:
        """Copy an object into a file, which appears whole or not at all. Raises Refused if none."""
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with self._translated(), beside.open("xb") as file:
                with closing(self._client.get_object(self._bucket, key)) as response:
                    for piece in response.stream(PIECE_BYTES):
                        file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    def stream(self, key: str, offset: int, length: int) -> Iterator[bytes]:
        """Some bytes of an object, in pieces. Raises Refused if there is no such object.

        The request is made with the first piece; closing the iterator ends it.
        """
        with (
            self._translated(),
            closing(
                self._client.get_object(self._bucket, key, offset=offset, length=length)
            ) as response,
        ):
            yield from response.stream(PIECE_BYTES)

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        """At most `length` bytes of an object from `offset` on; None if there is no such object.

        Raises Refused if it ends before `offset`.
        """
        try:
            with (
                self._translated(),
                closing(
                    self._client.get_object(self._bucket, key, offset=offset, length=length)
                ) as response,
            ):
                return response.read(length)
        except NoSuchKey:
            return None

    def list(self, prefix: str, start_after: str | None = None) -> Iterator[StoredObject]:
        """The objects whose key begins with `prefix`, sorted by key; after `start_after` only.

        SeaweedFS sorts folder by folder (`a/b` before `a-b`), so rely on the order, and on
        `start_after`, only below one camera's prefix, where both orders are the same.
        """
        with self._translated():
            for found in self._client.list_objects(
                self._bucket, prefix, recursive=True, start_after=start_after
            ):
                yield StoredObject(found.object_name or "", found.size or 0, found.last_modified)

    def folders(self, prefix: str) -> frozenset[str]:
        """Names of what looks like folders directly below `prefix`."""
        with self._translated():
            return frozenset(
                (found.object_name or "").removeprefix(prefix).rstrip("/")
                for found in self._client.list_objects(self._bucket, prefix)
                if found.is_dir
            )

    def remove(self, key: str) -> None:
        """Delete an object; one that is not there is fine."""
        with self._translated():
            self._client.remove_object(self._bucket, key)

    def remove_all(self, keys: Iterable[str]) -> None:
        """Delete objects, a thousand with a request. Raises StoreUnavailable if one stays."""
        with self._translated():
            wanted = (DeleteObject(key) for key in keys)
            errors = list(self._client.remove_objects(self._bucket, wanted))
        if errors:
            raise StoreUnavailable(f"{self._where} did not delete {errors[0].name}")

    # minio 7 has no public calls for left-over uploads and for the single steps of an upload.

    def abort_left_over_uploads(self, older_than: timedelta, now: datetime) -> int:
        """Drop the parts of uploads begun before `now - older_than` (UTC); returns how many.

        MinIO and Silo name only those begun since their own start. What is older goes there without
        us: they drop an upload themselves after a day (`stale_uploads_expiry`).
        """
        aborted = 0
        key_marker = upload_marker = None
        while True:
            with self._translated():
                page = self._client._list_multipart_uploads(
                    self._bucket, key_marker=key_marker, upload_id_marker=upload_marker
                )
                for upload in page.uploads:
                    if upload.initiated_time and now - upload.initiated_time > older_than:
                        self._client._abort_multipart_upload(
                            self._bucket, upload.object_name, upload.upload_id or ""
                        )
                        aborted += 1
            key_marker, upload_marker = page.next_key_marker, page.next_upload_id_marker
            if not page.is_truncated or not key_marker:
                return aborted

    def _write_again(self, key: str) -> None:
        self.create_bytes(key, b"second", content_type="text/plain")

    def _write_again_in_parts(self, key: str) -> None:
        with self._translated():
            upload = self._client._create_multipart_upload(self._bucket, key, {})
            try:
                etag = self._client._upload_part(self._bucket, key, b"third", None, upload, 1)
                self._client._complete_multipart_upload(self._bucket, key, upload, [Part(1, etag)])
            except S3Error:
                self._client._abort_multipart_upload(self._bucket, key, upload)
                raise

    def _create(
        self,
        key: str,
        data: BinaryIO,
        size: int,
        content_type: str,
        metadata: Mapping[str, str],
        is_same: Callable[[], bool | None],
    ) -> bool:
        """`is_same` compares what lies under the key with what was to be; None: nothing there."""
        for name, value in metadata.items():
            if not (f"{name}{value}".isascii() and f"{name}{value}".isprintable()):
                raise ValueError(f"metadata {name} of {key} is not plain ASCII")
        try:
            with self._translated():
                result = self._client.put_object(
                    self._bucket,
                    key,
                    data,
                    size,
                    content_type,
                    {_META + name: value for name, value in metadata.items()},
                    part_size=self._part_bytes,
                    num_parallel_uploads=1,
                )
            # A completion may be answered with 200 and an error in its body; then it has no ETag.
            if result.etag or size <= self._part_bytes:
                return True
            reason = f"{self._where} did not complete {key}"
        except AlreadyExists as error:
            reason = str(error)
        except StoreUnavailable as error:
            if not self._looks_after_silence:
                raise
            reason = str(error)
        same = is_same()
        if same is None:
            raise StoreUnavailable(f"{key} was not stored: {reason}")
        if not same:
            raise AlreadyExists(f"{key} is there already, with other content")
        return False

    def _content(self, key: str, limit_bytes: int) -> bytes | None:
        """At most one byte more than the limit."""
        try:
            with (
                self._translated(),
                closing(self._client.get_object(self._bucket, key)) as response,
            ):
                return response.read(limit_bytes + 1)
        except NoSuchKey:
            return None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn whatever the library raises into Cradle's errors."""
        try:
            yield
        except (MinioException, HTTPError, ParseError) as error:
            raise self._meaning(error) from without_frames(error)

    def _meaning(self, error: Exception) -> CradleError:
        if isinstance(error, S3Error):
            return self._meaning_of_code(error)
        if isinstance(error, ServerError | InvalidResponseError):
            status = int(getattr(error, "_status_code", 0) or getattr(error, "_code", 0))
            if status in {408, 425, 429} or status >= 500:
                return StoreUnavailable(f"{self._where} answered {status}")
            return Misconfigured(
                f"archive.endpoint: {self._where} answers, but not as S3 does (status {status}); "
                "give the address of its S3 interface"
            )
        if isinstance(error, MaxRetryError):
            return StoreUnavailable(f"{self._where} cannot be reached: {_why(error)}")
        return StoreUnavailable(f"{self._where} does not answer well: {error}")

    def _meaning_of_code(self, error: S3Error) -> CradleError:
        code = error.code or ""
        key = error.object_name or error.resource
        for codes, kind, sentence in _MEANINGS:
            if code in codes:
                return kind(
                    sentence.format(
                        store=self._where,
                        bucket=self._bucket,
                        named=self._named,
                        key=key,
                        code=code,
                        message=error.message,
                    )
                )
        # Also 409, two writers of one key at the same time: the answer is to try again.
        return StoreUnavailable(f"{self._where} answered {code}: {error.message}")


def within(limit_bytes: int, key: str, data: bytes) -> bytes:
    """The same content. Raises Refused if it is larger."""
    if len(data) > limit_bytes:
        raise Refused(f"{key}: is larger than {limit_bytes} bytes")
    return data


def _why(error: MaxRetryError) -> str:
    """What went wrong on the way, in the system's words where it has some."""
    cause = getattr(error.reason, "__cause__", None)
    words = cause.strerror if isinstance(cause, OSError) else None
    return words or type(error.reason).__name__
