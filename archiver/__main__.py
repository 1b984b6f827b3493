"""`python -m archiver --config cradle.yaml`"""

from archiver.worker import ArchiverWorker
from shared.messages import Stage
from shared.worker import main

main(Stage.ARCHIVER, ArchiverWorker)
