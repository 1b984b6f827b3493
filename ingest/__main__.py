"""`python -m ingest --config cradle.yaml`"""

from ingest.worker import IngestWorker
from shared.messages import Stage
from shared.worker import main

if __name__ == "__main__":
    main(Stage.INGEST, IngestWorker)
