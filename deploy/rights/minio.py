"""MinIO's administration: users and policies; and the buckets, on any S3 server.

Silo, the fork that runs in MinIO's place, keeps its paths and forms. Every call may be repeated: a
policy, a user and what the user may do are written anew, not added.

The only file that imports the admin client, which speaks an interface of MinIO's own and not S3:
no worker has it, and `shared/objectstore.py` stays the only one that speaks S3.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import urllib3
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException, MinioException
from minio.minioadmin import MinioAdmin
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from deploy.rights.store import BUCKETS, GRANTS, policy_of
from shared.config import ArchiveSettings
from shared.errors import Misconfigured, Unavailable
from shared.objectstore import ObjectStore


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
    archive = ArchiveSettings(
        endpoint=administrator.endpoint,
        access_key=administrator.key,
        secret_key=SecretStr(administrator.secret),
    )
    for bucket in BUCKETS.values():
        ObjectStore(archive, bucket).ensure_bucket()


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
    except MinioAdminException as error:
        if error._code.startswith("5"):  # the client has no other way to ask for the status
            raise Unavailable(f"the object store cannot serve now: {error}") from error
        raise Misconfigured(f"the object store refuses: {error}") from error
    except MinioException as error:
        raise Misconfigured(f"the object store refuses: {error}") from error
    except HTTPError as error:
        raise Unavailable(f"the object store does not answer: {error}") from error
