"""Parts of a page in docs/ that commands write, each its own, and leave each other's alone."""

import re
from pathlib import Path
from typing import Final

_SECTION: Final = "<!-- {name} -->\n\n{text}\n<!-- end of {name} -->\n"
_SECTIONS: Final = re.compile(
    r"<!-- (?P<name>[a-z]+) -->\n.*?<!-- end of (?P=name) -->\n", re.DOTALL
)


def write_section(path: Path, name: str, text: str) -> None:
    """Put a section into the page, in the place of the one of the same name (small letters)."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    others = [each[0] for each in _SECTIONS.finditer(before) if each["name"] != name]
    rest = _SECTIONS.sub("", before).rstrip("\n")
    section = _SECTION.format(name=name, text=text)
    path.write_text("\n".join([f"{rest}\n", *others, section]), encoding="utf-8")


def write_around_sections(path: Path, text: str) -> None:
    """Write a page anew; its sections stay as they are."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    sections = [each[0] for each in _SECTIONS.finditer(before)]
    path.write_text("\n".join([text, *sections]), encoding="utf-8")
