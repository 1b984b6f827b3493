"""`python -m analyzer --config cradle.yaml`"""

from analyzer.memory import give_pictures_back
from analyzer.worker import AnalyzerWorker
from shared.messages import Stage
from shared.worker import main

if __name__ == "__main__":
    give_pictures_back()
    main(Stage.ANALYZER, AnalyzerWorker)
