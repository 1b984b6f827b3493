"""What is live is written by one request each: nobody aborts the parts of who was killed."""

from typing import Any

import pytest
import urllib3

from shared.bucketplace import BucketPlace
from shared.config import ArchiveSettings
from shared.createonly import ImpatientPool
from shared.livestore import LiveStore
from shared.objectstore import PART_BYTES


@pytest.mark.parametrize("size", [0, PART_BYTES, PART_BYTES + 1, 8 * PART_BYTES])
def test_a_segment_of_any_size_is_one_request(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    requests: list[tuple[str, int]] = []

    def answer(
        _pool: object, method: str, _url: str, _redirect: bool, **options: Any
    ) -> urllib3.HTTPResponse:
        requests.append((method, len(options.get("body") or b"")))
        return urllib3.HTTPResponse(b"", {"ETag": '"x"'}, status=200, preload_content=False)

    monkeypatch.setattr(ImpatientPool, "urlopen", answer)
    settings = ArchiveSettings.model_validate({"secret_key": "x"})
    store = LiveStore(settings, BucketPlace("live", ""))
    store.replace("camera-1/0/000000.ts", bytes(size), content_type="video/mp2t")
    assert requests == [("PUT", size)]
