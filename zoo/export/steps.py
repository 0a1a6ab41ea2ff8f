"""Steps of a conversion, each in a process of its own; see `convert.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.export.fresh_process import all_paths, run_program

_CONVERT = Path(__file__).with_name("convert.py")


def run_step(step: str, name: str, job: Mapping[str, Any], scratch: Path) -> None:
    """Converts or quantizes a network.

    Args:
        step: `convert`, `quantize` or `rank`, as `convert.py` has them.
        name: The format, a row of FORMATS.
        job: Paths and settings of the step.
        scratch: A folder for the process alone.

    Raises:
        ExportError: The step failed.
    """
    job = {"step": step, "format": name, "path": all_paths(), **job}
    verb = "converted to" if step == "convert" else "quantized in"
    run_program(_CONVERT, job, scratch, f"the model cannot be {verb} {name}")
