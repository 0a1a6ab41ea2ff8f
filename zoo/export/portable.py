"""Export to formats that run without TensorFlow, with a check in a fresh process.

The network is converted in a process of its own. Another one, which has the format's runtime, NumPy
and Pillow but neither this project nor TensorFlow, then predicts every image; an export counts
only if these predictions are the model's own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zoo.export import load_image
from zoo.export.calibration import Calibration
from zoo.export.exported import Exported
from zoo.export.formats import FORMATS, Format
from zoo.export.graph import write_graph
from zoo.export.integers import quantize_network
from zoo.export.portable_proof import check_portable
from zoo.export.savedmodel import encode_labels
from zoo.export.seal import seal
from zoo.export.signature import Signer
from zoo.export.steps import run_step
from zoo.export.versions import next_version, placing_version
from zoo.files import scratch_folder, write_json

DESCRIPTION_FILE = "model.json"
"""Format, quantization, preprocessing and tasks of an exported model, in its version's folder."""


def export_portable(
    exported: Exported,
    row: Format,
    to: Path,
    *,
    images: Sequence[Path],
    quantize: str = "none",
    calibration: Calibration | None = None,
    card: Callable[[Path], str] | None = None,
    sign: Signer | None = None,
) -> Path:
    """Writes `to`/VERSION, checks, signs and seals it; a failed export leaves nothing behind.

    Args:
        exported: The model.
        row: The format, one that is converted.
        to: The model's folder; the version is the highest number in it plus one.
        images: N image files to check the export with.
        quantize: One of the format's quantizations.
        calibration: What `int8` is calibrated on and held to; for it alone.
        card: Writes README.md of the version's folder, by that folder; None writes none.
        sign: Signs it, by `zoo.export.signature.open_signer`; None leaves it unsigned.

    Returns:
        The version's folder.

    Raises:
        RunError: `to` or a version in it is a file.
        ExportError: A class name does not fit a line of labels.txt, the conversion or the fresh
            process failed, or its predictions differ from the model's, or are less accurate than
            they have to be.
    """
    version = next_version(to)
    with placing_version(version) as folder:
        if calibration is None:
            _write(exported, row, folder, quantize)
            check_portable(folder, row, quantize, images, exported)
        else:
            _write_integers(exported, row, folder, images, calibration)
        if card:
            (folder / "README.md").write_text(card(folder), encoding="utf-8")
        if sign:
            sign(folder, f"{to.name}/{version.name}")
        seal(folder)
    return version


def _write(exported: Exported, row: Format, folder: Path, quantize: str) -> None:
    """Writes the files of a version but the card: network, description, labels and loader."""
    _describe(exported, row, folder, {"quantize": quantize})
    with scratch_folder() as scratch:
        write_graph(
            exported.model,
            exported.preprocessing,
            exported.tasks,
            scratch / "graph",
            exported.scorer,
            exported.rules,
            any_size=row.any_size,
        )
        job = {
            "graph": str(scratch / "graph"),
            "folder": str(folder.resolve()),
            "quantize": quantize,
        }
        run_step("convert", row.name, job, scratch)


def _write_integers(
    exported: Exported, row: Format, folder: Path, images: Sequence[Path], calibration: Calibration
) -> None:
    """Writes the files of a version but the card, of a network in 8-bit integers.

    Raises:
        ExportError: It is less accurate than it has to be, or what it is made of does not predict
            what the model does.
    """
    source = FORMATS[row.integers.source if row.integers else row.name]
    with scratch_folder() as reference:
        _write(exported, source, reference, "none")
        answers = check_portable(reference, source, "none", images, exported)
        _describe(exported, row, folder, {"quantize": "int8"})
        measured = quantize_network(exported, row, reference, folder, images, answers, calibration)
    _describe(exported, row, folder, {"quantize": "int8", **measured})


def _describe(exported: Exported, row: Format, folder: Path, more: dict[str, Any]) -> None:
    """Writes the description, labels and loader.

    Args:
        exported: The model.
        row: The format.
        folder: The version's folder.
        more: Further values of the description.
    """
    tasks = exported.tasks
    if tasks[0].bare:
        (folder / "labels.txt").write_bytes(encode_labels(tasks[0].class_names))
    else:
        write_json(folder / "tasks.json", [task.to_json() for task in tasks])
    preprocessing = exported.preprocessing.model_dump(mode="json")
    description = {"format": row.name, **more, "preprocessing": preprocessing}
    write_json(folder / DESCRIPTION_FILE, description)
    shutil.copyfile(str(load_image.__file__), folder / "load_image.py")
