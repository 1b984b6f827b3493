"""`python -m viewer --config cradle.yaml`"""

from shared.messages import Stage
from shared.worker import main
from viewer.worker import ViewerWorker

if __name__ == "__main__":
    main(Stage.VIEWER, ViewerWorker)
