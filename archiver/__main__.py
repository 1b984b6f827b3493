"""`python -m archiver --config cradle.yaml`"""

from contextlib import ExitStack, closing

from archiver.worker import ArchiverWorker
from shared.messages import Stage
from shared.worker import main

with ExitStack() as stack:
    main(Stage.ARCHIVER, lambda context: stack.enter_context(closing(ArchiverWorker(context))))
