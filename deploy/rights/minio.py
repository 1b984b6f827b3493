"""MinIO's administration: buckets, users, policies. The only file that imports its admin client."""

import urllib3
from minio import Minio
from minio.credentials import StaticProvider
from minio.error import MinioAdminException, MinioException
from minio.minioadmin import MinioAdmin
from urllib3.exceptions import HTTPError
from urllib.parse import urlsplit

from deploy.rights.store import BUCKETS, GRANTS, policy_of
from shared.errors import Misconfigured, Unavailable


def apply(endpoint: str, key: str, secret: str, secrets: dict[str, str]) -> None:
    """Make the buckets and, for every name in GRANTS, a user with just its policy.

    `secrets` has one for each. May be repeated. Raises Misconfigured, Unavailable.
    """
    parts = urlsplit(endpoint)
    http = urllib3.PoolManager(timeout=urllib3.Timeout(3, 20), retries=urllib3.Retry(2))
    is_secure = parts.scheme == "https"
    client = Minio(parts.netloc, key, secret, secure=is_secure, http_client=http)
    admin = MinioAdmin(
        endpoint=parts.netloc,
        credentials=StaticProvider(key, secret),
        secure=is_secure,
        http_client=http,
    )
    try:
        for bucket in BUCKETS.values():
            if not client.bucket_exists(bucket):
                client.make_bucket(bucket)
        for user in GRANTS:
            name = f"cradle-{user}"
            admin.policy_add(name, policy=policy_of(user))
            admin.user_add(str(user), secrets[user])
            admin.policy_set(name, user=str(user))
    except (MinioException, MinioAdminException) as error:
        raise Misconfigured(f"the object store refuses: {error}") from error
    except HTTPError as error:
        raise Unavailable(f"the object store does not answer: {error}") from error
