"""Writes the dashboards: `python -m deploy.grafana.make`. What it writes is committed."""

import json
from pathlib import Path
from typing import Final

from deploy.grafana import broker, oncall, pictures, stages
from deploy.grafana.panel import Page

FOLDER: Final = Path(__file__).parent / "dashboards"
PAGES: Final[tuple[Page, ...]] = (
    oncall.PAGE,
    stages.INGEST,
    pictures.ENCODER,
    stages.ARCHIVER,
    pictures.ANALYZER,
    pictures.VIEWER,
    broker.PAGE,
)


def files() -> dict[str, str]:
    """Name and text of each dashboard's file."""
    return {
        f"{page.uid}.json": json.dumps(page.to_json(), indent=1, ensure_ascii=False) + "\n"
        for page in PAGES
    }


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
