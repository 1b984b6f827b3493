"""The commands of a README, so that what is tested is what a person reads there."""

import re
from pathlib import Path


def commands(file: Path, heading: str) -> list[str]:
    """The shell scripts of one section, in order."""
    text = file.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    section = text.partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
