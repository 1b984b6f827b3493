"""What the pages of docs/ say of tests is there: the files, and the rules that they are to show."""

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = tuple(sorted(ROOT.glob("docs/*.md")))
TESTS: Final = ROOT / "tests"
PROMISES: Final = ROOT / "docs/ARCHITECTURE.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_tests_that_a_page_names_is_there(page: Path) -> None:
    named = set(re.findall(r"\btest_\w[\w*]*\.py", page.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if not list(TESTS.rglob(name))] == []


def test_every_rule_that_the_promises_cite_is_the_name_of_a_test() -> None:
    promises = PROMISES.read_text(encoding="utf-8").partition("## Promises and their tests")[2]
    rules = re.findall(r"\*([^*|`\n]+)\*", promises)
    assert len(rules) > 30
    defined = {
        re.sub(r"^test_", "", name)
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"^def (\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert [rule for rule in rules if not is_defined(rule, defined)] == []


def is_defined(rule: str, defined: set[str]) -> bool:
    """Whether a test is called so; `…` stands for some more words, or for some left out."""
    plain = rule.lower().replace("'", "")
    words = [re.sub(r"\W+", "_", part).strip("_") for part in plain.split("…")]
    form = re.compile(r"\w*".join(re.escape(part) for part in words))
    return any(form.fullmatch(name) for name in defined)
