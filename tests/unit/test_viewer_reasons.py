"""Every reason that the code writes into records and events has its Korean on the page."""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from shared.child import find_program

ROOT: Final = Path(__file__).parents[2]
SCRIPT: Final = ROOT / "viewer/page/assets/reasons.js"
SPEAKERS: Final = ("ingest/*.py", "archiver/*.py", "shared/coverage/*.py", "shared/seats.py")
SILENT: Final = frozenset({"ingest/figures.py", "archiver/commit.py", "archiver/worker.py"})
"""Their reasons are of clips and workers; no time without footage has them."""
FAULTS: Final = frozenset({"SourceFailed", "EpochOver", "FrameStoreFailed", "Frozen"})
"""Their text is why an epoch ends and a camera is offline."""
RECORDS: Final = frozenset({"Gap", "FragmentsLost", "EmptyWindow", "EpochEnd", "EpochEnded"})
WAYS: Final = frozenset(
    {"stop_captures", "ask_to_stop", "release_all", "hand_over", "_end", "close"}
)
NAMES: Final = frozenset({"reason", "words", "_stop_reason", "last"})
SAMPLE: Final = "7.5"
"""Stands for whatever varies."""


def sentence(node: ast.AST | None) -> str | None:
    """What a literal says, or a formatted one with a sample for each variable part."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (
            str(part.value) if isinstance(part, ast.Constant) else SAMPLE for part in node.values
        )
        return "".join(parts)
    return None


def written(module: ast.Module, *, is_coverage: bool) -> Iterator[str]:
    """Every sentence of a module that becomes the reason of something."""
    found: list[ast.AST | None] = []
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else _name(node.func)
            is_log = any(each.arg == "action" for each in node.keywords)
            if name in FAULTS | WAYS or (is_coverage and name in {"Reason", "Refused"}):
                found += node.args
            elif name in RECORDS and not is_log:
                found += [each.value for each in node.keywords if each.arg == "reason"]
        elif isinstance(node, ast.Assign):
            targets = {getattr(each, "attr", _name(each)) for each in node.targets}
            if targets & NAMES:
                value = node.value
                found += [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
        elif isinstance(node, ast.FunctionDef) and node.name == "_silence":
            found += [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
    for statement in module.body:  # sentences with a name of their own
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            is_plain = isinstance(statement.value, ast.Constant)
            found.append(statement.value if is_plain else None)  # a type may stand there too
    for each in found:
        said = sentence(each)
        if (
            said
            and re.match(r"[a-z7]", said)
            and "|" not in said
            and (" " in said or said == "stopped")
        ):
            yield said


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def sentences() -> set[str]:
    """All of them."""
    found = {"quota", "retention"}
    for form in SPEAKERS:
        for path in ROOT.glob(form):
            if path.relative_to(ROOT).as_posix() in SILENT:
                continue
            module = ast.parse(path.read_text(encoding="utf-8"))
            found |= set(written(module, is_coverage=path.parent.name == "coverage"))
    return found


def in_korean(words: list[str]) -> list[str | None]:
    """What the page's own script makes of them."""
    program = (
        f"import {{ inKorean }} from {json.dumps(SCRIPT.as_uri())};"
        "let text = ''; for await (const part of process.stdin) text += part;"
        "console.log(JSON.stringify(JSON.parse(text).map(inKorean)));"
    )
    done = subprocess.run(
        [find_program("node"), "--input-type=module", "-e", program],
        input=json.dumps(words),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    answer: list[str | None] = json.loads(done.stdout)
    return answer


def test_every_reason_that_the_code_writes_has_its_korean() -> None:
    words = sorted(sentences())
    assert len(words) > 40
    unknown = [
        each
        for each, korean in zip(words, in_korean(words), strict=True)
        if korean is None or not re.search("[가-힣]", korean)
    ]
    assert unknown == []


def test_a_reason_that_is_new_in_the_code_is_noticed() -> None:
    for source in (
        'raise SourceFailed(f"the lens fell off after {days} days")',
        'Gap(starts_at=a, ends_at=b, reason="the lens fell off")',
        'LENS = "the lens fell off"',
        'self._recorder.stop_captures([camera], "the lens fell off")',
        'def look():\n    reason = f"the lens of {camera} fell off"',
    ):
        (found,) = set(written(ast.parse(source), is_coverage=False))
        assert in_korean([found]) == [None], source


@pytest.mark.parametrize(
    ("words", "korean"),
    [
        ("no video for 5 s", "5초 동안 영상이 오지 않음"),
        ("broke off: Connection timed out", "연결이 끊김: 연결 시간 초과"),
        ("cannot be opened: no answer in 10 s", "열 수 없음: 10초 동안 응답 없음"),
        ("broke off: something of libav's", "연결이 끊김: something of libav's"),
        (
            "the last epoch ended: fair share is 2 of 3 workers, and nobody came",
            "마지막 녹화가 끝난 이유: 작업자 3개가 카메라를 나눔 (작업자당 2대),"
            " 이어받은 작업자 없음",
        ),
        (
            "fragments 3-7 of epoch 20260301T000000000-00c0ffee: quota (says ingest)",
            "녹화 20260301T000000000-00c0ffee 의 조각 3–7: 저장 전에 지움: 용량 한도 (ingest 기록)",
        ),
        ("something else", None),
        ("", None),
    ],
)
def test_what_varies_in_a_sentence_is_kept_and_translated_too(
    words: str, korean: str | None
) -> None:
    assert in_korean([words]) == [korean]
