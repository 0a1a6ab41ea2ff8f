"""`python -m pipelines.search.reports RUN` draws the pictures of a search from its search.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pipelines.search.reports.reporting import draw_search

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    draw_search(folder, json.loads((folder / "search.json").read_text(encoding="utf-8")))
