"""`python -m analyzer --config cradle.yaml`"""

from analyzer.worker import AnalyzerWorker
from shared.messages import Stage
from shared.worker import main

if __name__ == "__main__":
    main(Stage.ANALYZER, AnalyzerWorker)
