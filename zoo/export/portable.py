"""Export to formats that run without TensorFlow, with a check in a fresh process.

The network is converted in a process of its own. Another one, which has the format's runtime, NumPy
and Pillow but neither this project nor TensorFlow, then predicts every image; an export counts
only if these predictions are the model's own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.export import load_image
from zoo.export.formats import Format
from zoo.export.fresh_process import all_paths, run_program
from zoo.export.graph import write_graph
from zoo.export.portable_proof import check_portable
from zoo.export.savedmodel import encode_labels
from zoo.export.seal import seal
from zoo.export.signature import Signer
from zoo.export.versions import next_version, placing_version
from zoo.files import scratch_folder, write_json
from zoo.models.decision import DecisionRule
from zoo.models.unknown import UnknownScorer
from zoo.preprocessing import Preprocessing
from zoo.tasks import Task

DESCRIPTION_FILE = "model.json"
"""Format, quantization, preprocessing and tasks of an exported model, in its version's folder."""

_CONVERT = Path(__file__).with_name("convert.py")


@dataclass(frozen=True)
class Exported:
    """A model as it is exported.

    Args:
        model: A `keras.Model` from float32 [B, S, S, 3] in 0 to 255 to what `tasks` say.
        preprocessing: Turns a file into the model's input.
        tasks: What the model predicts.
        scorer: Of the features of the model's head; None exports no unknown scores.
        rules: Which classes or labels are in the answer, by task that has a rule.
    """

    model: Any
    preprocessing: Preprocessing
    tasks: Sequence[Task]
    scorer: UnknownScorer | None = None
    rules: Mapping[str, DecisionRule] = field(default_factory=dict)


def export_portable(
    exported: Exported,
    row: Format,
    to: Path,
    *,
    images: Sequence[Path],
    quantize: str = "none",
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
        card: Writes README.md of the version's folder, by that folder; None writes none.
        sign: Signs it, by `zoo.export.signature.open_signer`; None leaves it unsigned.

    Returns:
        The version's folder.

    Raises:
        RunError: `to` or a version in it is a file.
        ExportError: A class name does not fit a line of labels.txt, the conversion or the fresh
            process failed, or its predictions differ from the model's.
    """
    version = next_version(to)
    with placing_version(version) as folder:
        _write(exported, row, folder, quantize)
        check_portable(
            folder,
            row,
            quantize,
            images,
            exported.model,
            exported.preprocessing,
            exported.tasks,
            exported.scorer,
            exported.rules,
        )
        if card:
            (folder / "README.md").write_text(card(folder), encoding="utf-8")
        if sign:
            sign(folder, f"{to.name}/{version.name}")
        seal(folder)
    return version


def _write(exported: Exported, row: Format, folder: Path, quantize: str) -> None:
    """Writes the files of a version but the card: network, description, labels and loader."""
    tasks = exported.tasks
    if tasks[0].bare:
        (folder / "labels.txt").write_bytes(encode_labels(tasks[0].class_names))
    else:
        write_json(folder / "tasks.json", [task.to_json() for task in tasks])
    description = {
        "format": row.name,
        "quantize": quantize,
        "preprocessing": exported.preprocessing.model_dump(mode="json"),
    }
    write_json(folder / DESCRIPTION_FILE, description)
    shutil.copyfile(str(load_image.__file__), folder / "load_image.py")
    with scratch_folder() as scratch:
        write_graph(
            exported.model,
            exported.preprocessing,
            tasks,
            scratch / "graph",
            exported.scorer,
            exported.rules,
            any_size=row.any_size,
        )
        job = {
            "format": row.name,
            "graph": str(scratch / "graph"),
            "folder": str(folder.resolve()),
            "quantize": quantize,
            "path": all_paths(),
        }
        run_program(_CONVERT, job, scratch, f"the model cannot be converted to {row.name}")
