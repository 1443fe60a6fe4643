"""Makes the gallery: pictures, results.json and both pages.

python -m scripts.gallery           what was run before is read from out/gallery
python -m scripts.gallery --text    the pages only, with the results that are there
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from scripts.drawing import save

from . import pages, pictures
from .entries import ENTRIES, OPTIMIZERS, SCHEDULES, families
from .runs import run

ROOT = Path(__file__).parents[2]
PAGES, FIGURES = ROOT / "docs" / "gallery", ROOT / "docs" / "figures" / "gallery"
RESULTS = Path(__file__).parent / "results.json"


def draw() -> None:
    """Runs everything and draws it."""
    runs = {entry.name: run(entry, ROOT / "out" / "gallery") for entry in ENTRIES}
    for group in OPTIMIZERS.values():
        for members in families(group):
            picture = pictures.family(members, [runs[entry.name] for entry in members], runs["adam"])
            save(FIGURES / f"{pages.file_name(members)}.svg", picture)
    for name, call in SCHEDULES.items():
        save(FIGURES / f"{name}.svg", pictures.schedule(name, call))
    results = {name: pages.kept(found) for name, found in sorted(runs.items())}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Pictures and pages."""
    if "--text" not in sys.argv:
        draw()
    save(PAGES / "optimizers.md", pages.optimizers(json.loads(RESULTS.read_text(encoding="utf-8"))))
    save(PAGES / "schedules.md", pages.schedules())


if __name__ == "__main__":
    main()
