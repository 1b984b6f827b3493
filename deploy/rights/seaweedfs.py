"""SeaweedFS' file of identities: its S3 gateway reads it at start (`weed s3 -config=FILE`)."""

import json

from deploy.rights.minio import Administrator
from deploy.rights.store import GRANTS, policy_of


def identities(administrator: Administrator, secrets: dict[str, str]) -> str:
    """The file: its administrator, and every name in GRANTS with just its policy."""
    users = [
        {
            "name": str(user),
            "credentials": [{"accessKey": str(user), "secretKey": secrets[user]}],
            "policyNames": [f"cradle-{user}"],
        }
        for user in GRANTS
    ]
    first = {
        "name": "administrator",
        "credentials": [{"accessKey": administrator.key, "secretKey": administrator.secret}],
        "actions": ["Admin"],
    }
    policies = [
        {"name": f"cradle-{user}", "content": json.dumps(policy_of(user))} for user in GRANTS
    ]
    return json.dumps({"identities": [first, *users], "policies": policies}, indent=1)
