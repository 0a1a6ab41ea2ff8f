"""Conversion and quantization in a process of its own: converters leak memory, and print.

Run as a file, never imported: `python -I convert.py JOB`, where JOB is the JSON file that
`zoo.export.steps` writes. The process ends when its standard input does.
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
    if job["step"] == "convert":
        if row.convert is None:
            raise ValueError(f"{row.name} is not converted")
        row.convert(Path(job["graph"]), Path(job["folder"]), job["quantize"])
        return
    if row.integers is None:
        raise ValueError(f"{row.name} has no integers")
    source, images = Path(job["source"]), Path(job["images"])
    if job["step"] == "rank":
        text = json.dumps(row.integers.rank_layers(source, images))
        Path(job["ranking"]).write_text(text, encoding="utf-8")
    else:
        row.integers.quantize(source, Path(job["folder"]), images, job["kept"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
