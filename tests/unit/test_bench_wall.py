"""The wall's figures say what was seen, and stay when the rest of the page is written anew."""

from pathlib import Path

from tests.bench.wall import STAGES, Figures, described, parse, section
from tests.sections import write_around_sections, write_section

FIGURES = Figures(
    what="an ordinary screen, 60 s",
    cameras=24,
    seconds=60.0,
    seen=12,
    playing=11,
    pictures=[15.0, 0.0],
    beyond=[0.0],
    dropped=0.125,
    delays=[2.0, 4.0],
    cpu=dict.fromkeys(STAGES, 0.25) | {"browser": 0.5},
    memory={"viewer": 80 * 2**20, "browser": 600 * 2**20},
    requests={"/a": 20.0, "/b": 4.5},
    busy=1.0,
    others=0.2,
)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_what_was_seen_and_spent_is_said() -> None:
    seen, spent = (cells(each.splitlines()[2]) for each in described([FIGURES]).split("\n\n"))
    assert seen[1:] == ["24", "12", "11", "0.0", "7.5", "12.5", "0.0", "3.0", "4.0"]
    assert spent[1:6] == ["0.25"] * 5
    assert spent[6:] == ["0.50", "100", "20", "80", "600", "24.5"]


def test_the_part_of_the_wall_stays_when_the_rest_is_written_anew(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = section(parse([]), [FIGURES], "156.0")
    write_section(page, "wall", text)
    write_around_sections(page, "# Performance\n")
    assert text in page.read_text(encoding="utf-8")
