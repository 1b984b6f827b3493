"""How long an orderly stop of each stage may take, by the code's own limits.

Whoever stops a worker must wait longer: `stop_grace_period` of compose and
`terminationGracePeriodSeconds` of Kubernetes are held against these sums.
"""

from typing import Final

import analyzer.worker
import archiver.worker
import encoder.camera
import encoder.loop
import encoder.seat
import ingest.handover
import ingest.recorder
import shared.createonly
import shared.link
import viewer.server
import viewer.worker
from shared.messages import Stage

UPLOAD_SECONDS: Final = shared.createonly.CONNECT_SECONDS + shared.createonly.READ_SECONDS
"""One request that the store does not answer."""
TRIES: Final = 3
LINK_SECONDS: Final = 2 * shared.link.CLOSE_TIMEOUT_SECONDS
JANITOR_SECONDS: Final = 1.0
STOPS: Final = {
    # captures, leavers, index, outbox
    Stage.INGEST: ingest.handover.HAND_OVER_SECONDS
    + 4 * ingest.recorder.STOP_SECONDS
    + JANITOR_SECONDS
    + LINK_SECONDS
    + UPLOAD_SECONDS,
    Stage.ENCODER: encoder.camera.HAND_OVER_SECONDS
    + encoder.seat.CLOSE_SECONDS
    + encoder.seat.ABANDON_SECONDS
    + encoder.loop.STOP_SECONDS
    + LINK_SECONDS
    + UPLOAD_SECONDS,
    Stage.ARCHIVER: archiver.worker.FINISH_SECONDS + TRIES * UPLOAD_SECONDS + LINK_SECONDS,
    Stage.ANALYZER: analyzer.worker.FINISH_SECONDS + LINK_SECONDS,
    Stage.VIEWER: viewer.server.END_SECONDS + 4 + 3 * viewer.worker.END_SECONDS + LINK_SECONDS,
}
SPARE_SECONDS: Final = 10.0
"""That the grace must be longer, for a machine that is busy."""
