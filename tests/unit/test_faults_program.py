"""The order of strikes: the seed alone decides it, and every kind comes."""

from itertools import islice

from tests.faults.strikes import ALL, KILLS, OTHERS
from tests.faults.trial import KILLS_BETWEEN, program

ROUND = (1 + KILLS_BETWEEN) * len(OTHERS)
"""Each fault, with kills behind it."""


def test_the_same_seed_strikes_the_same() -> None:
    assert list(islice(program(5), 300)) == list(islice(program(5), 300))
    assert list(islice(program(5), 300)) != list(islice(program(6), 300))


def test_a_round_holds_every_kind_once_and_kills_for_each() -> None:
    kinds = list(islice(program(1), ROUND))
    assert {kind for kind in kinds if kind in OTHERS} == OTHERS.keys()
    assert sum(kind in KILLS for kind in kinds) == KILLS_BETWEEN * len(OTHERS)
    assert set(kinds) <= ALL.keys()


def test_given_names_are_struck_once_each_in_their_order() -> None:
    assert list(program(1, ["kill broker", "kill ingest"])) == ["kill broker", "kill ingest"]
