"""Keeper of a whole run of `zoo study --all` in the docs: verdicts as JSON, figures as small PNG.

Run as `python tools/keep_studies.py FOLDER`, the folder of the run; writes docs/studies/NAME.json
and docs/studies/NAME.png, from which docs/studies.md shows the gallery.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "docs" / "studies"
WIDTH, SHADES = 1100, 256
"""Pixels of a figure's width, at most, and colors of its palette."""


def keep_study(folder: Path, kept: Path) -> None:
    """Keeps one study: all that it found but the numbers of each measurement.

    Args:
        folder: The study's folder, with numbers.json and figure.png.
        kept: The folder of what is kept.
    """
    found = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    del found["numbers"]
    kept.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (kept / f"{folder.name}.json").write_text(text + "\n", encoding="utf-8")
    with Image.open(folder / "figure.png") as figure:
        small = figure.convert("RGB")
    small.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    small.quantize(SHADES, dither=Image.Dither.NONE).save(
        kept / f"{folder.name}.png", optimize=True
    )


def main(folder: Path) -> None:
    """Keeps every study of a run; forgets those that the table has no longer."""
    from pipelines.studies.catalog import STUDIES

    missing = [name for name in STUDIES if not (folder / name / "numbers.json").exists()]
    if missing:
        raise SystemExit(f"error: {folder} lacks {', '.join(missing)}; zoo study --all first")
    for old in KEPT.glob("*"):
        old.unlink()
    for name in STUDIES:
        keep_study(folder / name, KEPT)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
