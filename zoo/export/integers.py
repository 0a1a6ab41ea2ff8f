"""Export in 8-bit integers, held to the accuracy of single precision on the same images.

The network in single precision is proven first, as an export of its own would be. A fresh process
then answers the same images with the one in integers. Where that costs more accuracy than it may,
groups of layers stay out of the quantization, first those whose own costs most.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.errors import ExportError
from zoo.export.calibration import Calibration, Drop, compute_drop
from zoo.export.exported import Exported
from zoo.export.formats import Format
from zoo.export.load_image import load_image
from zoo.export.portable_proof import check_answers, predict_in_runtime
from zoo.export.steps import run_step
from zoo.files import scratch_folder

_SHARES = (0.1, 0.25, 0.5)
"""Shares of the groups of layers that are left out, tried one after the other."""

_MAX_NAMED = 8
"""Layers that a message names, at most."""


def quantize_network(
    exported: Exported,
    row: Format,
    reference: Path,
    folder: Path,
    images: Sequence[Path],
    answers: dict[str, npt.NDArray[Any]],
    calibration: Calibration,
) -> dict[str, Any]:
    """Writes a network in 8-bit integers that is as accurate as it has to be.

    Args:
        exported: The model.
        row: The format, one that has 8-bit integers.
        reference: A version's folder with the network in single precision, in the format that
            `row.integers` quantizes.
        folder: The version's folder, with all but the network.
        images: N image files to compare on.
        answers: The outputs of the network in single precision for them, by name.
        calibration: What it is calibrated on and held to.

    Returns:
        JSON values: the layers that were left out, `float_layers`, and by task the accuracies
        and their difference, `accuracy`.

    Raises:
        ExportError: It loses more accuracy than it may, or a process failed.
    """
    with scratch_folder() as scratch:
        pixels = scratch / "calibration.npy"
        settings = exported.preprocessing.model_dump()
        np.save(pixels, np.stack([load_image(file, **settings) for file in calibration.images]))
        paths = {"source": str(reference.resolve()), "images": str(pixels)}

        def attempt(kept: list[str]) -> list[Drop]:
            job = {**paths, "folder": str(folder.resolve()), "kept": kept}
            run_step("quantize", row.name, job, scratch)
            return _measure(exported, row, folder, images, answers, calibration)

        kept: list[str] = []
        drops = attempt(kept)
        groups: list[list[str]] = []
        if not _holds(drops, calibration):
            run_step("rank", row.name, {**paths, "ranking": str(scratch / "r.json")}, scratch)
            groups = json.loads((scratch / "r.json").read_text(encoding="utf-8"))
        best = drops
        for count in sorted({max(1, round(share * len(groups))) for share in _SHARES}):
            # With none in integers, it would be another export.
            if _holds(drops, calibration) or count >= len(groups):
                break
            kept = [name for group in groups[:count] for name in group]
            drops = attempt(kept)
            best = min(best, drops, key=_worst)
    if not _holds(drops, calibration):
        raise _too_inaccurate(best, [name for group in groups for name in group], calibration)
    accuracy = {
        drop.task: {
            "float32": drop.accuracy,
            "int8": drop.integer_accuracy,
            "drop_points": drop.points,
            "drop_interval": list(drop.interval),
        }
        for drop in drops
    }
    return {"float_layers": kept, "accuracy": accuracy}


def _measure(
    exported: Exported,
    row: Format,
    folder: Path,
    images: Sequence[Path],
    answers: dict[str, npt.NDArray[Any]],
    calibration: Calibration,
) -> list[Drop]:
    found = predict_in_runtime(folder, row, images)["square"]
    check_answers(exported, row, found, images)
    return [
        compute_drop(
            task,
            calibration.targets[task.name],
            answers[task.output],
            found[task.output],
            exported.rules.get(task.name) if task.kind == "multi_label" else None,
        )
        for task in exported.tasks
    ]


def _worst(drops: list[Drop]) -> float:
    return max(drop.points for drop in drops)


def _holds(drops: list[Drop], calibration: Calibration) -> bool:
    # A drop of one image in a hundred is one point, whatever its last bit says.
    return _worst(drops) <= calibration.max_drop + 1e-9


def _too_inaccurate(drops: list[Drop], layers: list[str], calibration: Calibration) -> ExportError:
    drop = max(drops, key=lambda each: each.points)
    named = ", ".join(layers[:_MAX_NAMED])
    enough = int(np.ceil(drop.points))
    return ExportError(
        "the model in 8-bit integers is less accurate than in single precision, with up to half "
        f"of its layers left out, first of all {named}; nothing was exported",
        expected=f"at most {calibration.max_drop:g} points less",
        received=str(drop),
        mend=f"--quantize float16, or --max-drop {enough} to accept it",
    )
