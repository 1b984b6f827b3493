"""MinIO's administration: buckets, users, policies. The only file that imports its admin client."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException, MinioException
from minio.minioadmin import MinioAdmin
from urllib3.exceptions import HTTPError

from deploy.rights.store import BUCKETS, GRANTS, policy_of
from shared.errors import Misconfigured, Unavailable

REGION: Final = "us-east-1"


@dataclass(frozen=True)
class Administrator:
    """Who may do everything, and where."""

    endpoint: str
    key: str
    secret: str

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint).netloc

    @property
    def is_secure(self) -> bool:
        return urlsplit(self.endpoint).scheme == "https"


def make_buckets(administrator: Administrator) -> None:
    """Those of BUCKETS that are not there; any S3 server will do. Raises as `apply`."""
    client = Minio(
        administrator.host,
        administrator.key,
        administrator.secret,
        secure=administrator.is_secure,
        region=REGION,
        http_client=_http(),
    )
    with _translated():
        for bucket in BUCKETS.values():
            if not client.bucket_exists(bucket):
                client.make_bucket(bucket)


def apply(administrator: Administrator, secrets: dict[str, str]) -> None:
    """For every name in GRANTS make a user with just its policy; `secrets` has one for each.

    May be repeated. Raises Misconfigured, Unavailable.
    """
    admin = MinioAdmin(
        endpoint=administrator.host,
        credentials=StaticProvider(administrator.key, administrator.secret),
        secure=administrator.is_secure,
        http_client=_http(),
    )
    with _translated():
        for user in GRANTS:
            name = f"cradle-{user}"
            admin.policy_add(name, policy=policy_of(user))
            admin.user_add(str(user), secrets[user])
            admin.policy_set(name, user=str(user))


def _http() -> urllib3.PoolManager:
    return urllib3.PoolManager(timeout=urllib3.Timeout(3, 20), retries=urllib3.Retry(2))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (MinioException, MinioAdminException) as error:
        raise Misconfigured(f"the object store refuses: {error}") from error
    except HTTPError as error:
        raise Unavailable(f"the object store does not answer: {error}") from error
