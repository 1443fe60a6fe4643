"""Makes the gallery: pictures, results.json and both pages.

python -m scripts.gallery             everything (half an hour on 2 cores); runs are kept in out/gallery
python -m scripts.gallery adam lion   the families of these optimizers, and the pages
python -m scripts.gallery --text      the pages only, with the results that are there
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from scripts.drawing import save

from . import pages, pictures
from .entries import ENTRIES, SCHEDULES, families
from .runs import run

ROOT = Path(__file__).parents[2]
PAGES, FIGURES, RUNS = (
    ROOT / "docs" / "gallery",
    ROOT / "docs" / "figures" / "gallery",
    ROOT / "out" / "gallery",
)
RESULTS = Path(__file__).parent / "results.json"


def draw(names: list[str]) -> None:
    """Runs and draws the families of these optimizers, or everything."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if names else {}
    reference = run(next(entry for entry in ENTRIES if entry.name == "adam"), RUNS)
    for members in families(ENTRIES):
        if names and not {entry.name for entry in members} & set(names):
            continue
        runs = [run(entry, RUNS) for entry in members]
        save(FIGURES / f"{pages.file_name(members)}.svg", pictures.family(members, runs, reference))
        results |= {entry.name: pages.kept(found) for entry, found in zip(members, runs, strict=True)}
    for name, call in SCHEDULES.items():
        save(FIGURES / f"{name}.svg", pictures.schedule(name, call))
    RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Pictures and pages."""
    unknown = set(arguments) - {"--text", *(entry.name for entry in ENTRIES)}
    if unknown:
        sys.exit(f"scripts.gallery: no such optimizer in entries.py: {', '.join(sorted(unknown))}")
    if arguments != ["--text"]:
        draw(arguments)
    save(PAGES / "optimizers.md", pages.optimizers(json.loads(RESULTS.read_text(encoding="utf-8"))))
    save(PAGES / "schedules.md", pages.schedules())


if __name__ == "__main__":
    main(sys.argv[1:])
