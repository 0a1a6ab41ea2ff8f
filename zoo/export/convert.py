"""Conversion in a process of its own: converters leak memory, and print.

Run as a file, never imported: `python -I convert.py JOB`, where JOB is the JSON file that
`zoo.export.portable` writes. The process ends when its standard input does.
"""

import json
import sys
import threading
from pathlib import Path


def main(file: Path) -> None:
    """Converts as a job says."""
    job = json.loads(file.read_text(encoding="utf-8"))
    sys.path[:] = job["path"]
    from zoo.export.formats import FORMATS
    from zoo.export.gate import end_with_parent

    threading.Thread(target=end_with_parent, args=(file.parent,), daemon=True).start()

    row = FORMATS[job["format"]]
    if row.convert is None:
        raise ValueError(f"{row.name} is not converted")
    row.convert(Path(job["graph"]), Path(job["folder"]), job["quantize"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
