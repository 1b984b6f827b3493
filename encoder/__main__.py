"""`python -m encoder --config cradle.yaml`"""

from encoder.worker import EncoderWorker
from shared.messages import Stage
from shared.worker import main

if __name__ == "__main__":
    main(Stage.ENCODER, EncoderWorker)
