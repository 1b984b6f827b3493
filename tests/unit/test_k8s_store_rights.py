"""What each stage's key may do in the object store: what its code does there, and nothing more."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from shared.messages import Stage
from tests.k8s.manifests import FOLDER

ARCHIVE, FRAMES, LIVE = "cradle", "cradle-frames", "cradle-live"
LIST: Final = "s3:ListBucket"
"""Of the whole bucket: whoever may not list gets "forbidden" for a key that is not there, where
Cradle must be told that it is not there."""
UPLOADS: Final = "s3:ListBucketMultipartUploads"
GET, PUT, DELETE = "s3:GetObject", "s3:PutObject", "s3:DeleteObject"
ABORT: Final = "s3:AbortMultipartUpload"

Right = tuple[str, str]
"""An action, and the bucket or the keys."""


def rights(action: str, *places: str) -> set[Right]:
    return {(action, place) for place in places}


ALL_FRAMES, ALL_LIVE = f"{FRAMES}/*", f"{LIVE}/*"
CLIPS, CUSTODY, ANALYSIS, BUDGET, HOLDS, PROBE = (
    f"{ARCHIVE}/{root}/*" for root in ("clips", "custody", "analysis", "budget", "holds", "probe")
)
RIGHTS: Final[dict[Stage, set[Right]]] = {
    # Looks up what is in a clip before it deletes, and writes down what was not.
    Stage.INGEST: {
        *rights(LIST, FRAMES, ARCHIVE),
        *rights(GET, ALL_FRAMES, CLIPS, CUSTODY),
        *rights(PUT, ALL_FRAMES, CUSTODY),
        *rights(DELETE, ALL_FRAMES),
    },
    Stage.ENCODER: {
        *rights(LIST, FRAMES, LIVE),
        *rights(GET, ALL_FRAMES, ALL_LIVE),
        *rights(PUT, ALL_LIVE),
        *rights(DELETE, ALL_LIVE),
    },
    # After `retention_days` clips and analyses go; the custody record and holds are not its to
    # delete. It also drops what uploads of others have left over.
    Stage.ARCHIVER: {
        *rights(LIST, FRAMES, ARCHIVE),
        *rights(UPLOADS, ARCHIVE),
        *rights(GET, ALL_FRAMES, CLIPS, CUSTODY, PROBE),
        *rights(PUT, CLIPS, CUSTODY, PROBE),
        *rights(DELETE, CLIPS, ANALYSIS, PROBE),
        *rights(ABORT, f"{ARCHIVE}/*"),
    },
    Stage.ANALYZER: {
        *rights(LIST, FRAMES, ARCHIVE),
        *rights(GET, ALL_FRAMES, ANALYSIS, BUDGET, PROBE),
        *rights(PUT, ANALYSIS, BUDGET, PROBE),
        *rights(DELETE, BUDGET, PROBE),
        *rights(ABORT, PROBE),
    },
    Stage.VIEWER: {
        *rights(LIST, FRAMES, ARCHIVE, LIVE),
        *rights(GET, CLIPS, CUSTODY, ANALYSIS, HOLDS, ALL_LIVE),
        *rights(PUT, HOLDS),
        *rights(DELETE, HOLDS),
    },
}


def granted(policy: dict[str, Any]) -> Iterator[Right]:
    for statement in policy["Statement"]:
        assert set(statement) == {"Effect", "Action", "Resource"}
        assert statement["Effect"] == "Allow"
        for action in statement["Action"]:
            for resource in statement["Resource"]:
                yield action, resource.removeprefix("arn:aws:s3:::")


@pytest.mark.parametrize("stage", list(Stage))
def test_a_stage_may_do_in_the_store_what_it_does_and_no_more(stage: Stage) -> None:
    path = FOLDER / "overlays" / "single-node" / "policies" / f"{stage}.json"
    policy = json.loads(path.read_text(encoding="utf-8"))
    given = list(granted(policy))
    assert set(given) == RIGHTS[stage]
    assert len(given) == len(set(given)), "said once"


def test_nobody_may_delete_the_custody_record_and_only_people_holds() -> None:
    deletable = {place: stage for stage in Stage for what, place in RIGHTS[stage] if what == DELETE}
    assert CUSTODY not in deletable
    assert f"{ARCHIVE}/*" not in deletable
    assert deletable[HOLDS] is Stage.VIEWER
