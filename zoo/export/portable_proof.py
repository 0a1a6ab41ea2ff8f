"""Proof of an export that runs without TensorFlow: loader, network and resizing, one by one.

1. The `load_image.py` beside the model gives the pixels of the project's own preprocessing, but for
   values whose rounding is a matter of the last bit, which may be one apart.
2. For these pixels of every image, the network predicts what the model does.
3. A network that takes images of any size predicts the same for whole images; since rounding may
   again be one apart, within a wider tolerance.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo.errors import ExportError
from zoo.export.exported import Exported
from zoo.export.formats import Format
from zoo.export.fresh_process import PACKAGES, run_program, search_path
from zoo.export.load_image import load_image, resize, to_rgb
from zoo.export.signatures import compare_outputs, compare_unknown_outputs
from zoo.files import scratch_folder
from zoo.models.unknown import UNKNOWN_SCORE, build_scored_model
from zoo.preprocessing import Preprocessing
from zoo.tasks import wrap

TOLERANCES: Mapping[str, float] = {"none": 1e-4, "float16": 1e-2}
"""Largest difference between a prediction of an export and of its model, by quantization."""

WHOLE_TOLERANCE = 1e-2
"""That of an image which the network itself resizes."""

MAX_WHOLE = 32
"""How many of these images are compared, at most; each is of a size of its own, which is slow."""

_MAX_DIFFERENT = 0.05
"""Share of an image's values that may be one apart; 0.001 was the most that was seen."""

_BATCH_SIZE = 32
_GATE = Path(__file__).with_name("runtime_gate.py")
_RUNTIMES = Path(__file__).with_name("runtimes.py")
_ABSENT = (*PACKAGES, "tensorflow", "keras", "tf2onnx", "onnx")


def check_portable(
    folder: Path, row: Format, quantize: str, images: Sequence[Path], exported: Exported
) -> dict[str, npt.NDArray[Any]]:
    """Compares an export's predictions in a fresh process with those of its model.

    Args:
        folder: The version's folder.
        row: Its format.
        quantize: How it is quantized, a key of TOLERANCES.
        images: N image files, at least 1.
        exported: The model.

    Returns:
        The export's outputs by name for loaded images, each [N, …].

    Raises:
        ExportError: The loader or the network differs by more, or the process failed.
    """
    preprocessing, tasks, scorer = exported.preprocessing, exported.tasks, exported.scorer
    indices = np.unique(np.linspace(0, len(images) - 1, min(len(images), MAX_WHOLE)).astype(int))
    whole = [images[index] for index in indices] if row.any_size else []
    found = predict_in_runtime(folder, row, images, indices.tolist() if row.any_size else [])
    network = exported.model if scorer is None else build_scored_model(exported.model, scorer)
    parts = {
        "square": (images, _load(images, preprocessing), TOLERANCES[quantize]),
        "whole": (whole, _resize(whole, preprocessing), max(WHOLE_TOLERANCE, TOLERANCES[quantize])),
    }
    for part, (files, pixels, tolerance) in parts.items():
        if not files:
            continue
        outputs = found[part]
        values = _compute(network, pixels)
        scores = None
        if scorer is not None:
            values, scores = values
            compare_unknown_outputs(
                row.name, outputs, scores, files, scorer.rounding, max(tolerance, 1e-4)
            )
        predictions = wrap(tasks, values)
        for task in tasks:
            rule = exported.rules.get(task.name)
            expected = predictions[task.name]
            compare_outputs(row.name, task, outputs, expected, files, rule, tolerance)
    return found["square"]


def check_answers(
    exported: Exported, row: Format, outputs: Mapping[str, npt.NDArray[Any]], images: Sequence[Path]
) -> None:
    """Checks that an export's outputs are finite and fit each other, whatever the model predicts.

    Args:
        exported: The model.
        row: The format.
        outputs: By name, each [N, …].
        images: N files, for the message.

    Raises:
        ExportError: They do not.
    """
    if exported.scorer is not None:
        compare_unknown_outputs(row.name, outputs, outputs[UNKNOWN_SCORE], images)
    for task in exported.tasks:
        expected = outputs[task.output].reshape(len(images), task.num_outputs)
        compare_outputs(row.name, task, outputs, expected, images, exported.rules.get(task.name))


def predict_in_runtime(
    folder: Path, row: Format, images: Sequence[Path], whole: Sequence[int] = ()
) -> dict[str, dict[str, npt.NDArray[Any]]]:
    """Returns what a fresh process with the runtime alone predicts.

    Args:
        folder: The version's folder.
        row: Its format.
        images: N image files.
        whole: Indices of those that are also predicted as they are, not resized.

    Returns:
        Outputs by name, each [N, …]: `square` for loaded images, `whole` for whole ones.

    Raises:
        ExportError: The process failed.
    """
    with scratch_folder() as scratch:
        job = {
            "model": str(folder.resolve()),
            "format": row.name,
            "runtimes": str(_RUNTIMES),
            "images": [str(path.resolve()) for path in images],
            "whole_indices": list(whole),
            "predictions": str(scratch / "predictions.npz"),
            "path": search_path(),
            "without": _ABSENT,
        }
        run_program(
            _GATE, job, scratch, "the exported model does not load and predict in a fresh process"
        )
        found: dict[str, dict[str, npt.NDArray[Any]]] = {"square": {}, "whole": {}}
        with np.load(scratch / "predictions.npz") as arrays:
            for name in arrays.files:
                part, _, output = name.partition("/")
                found[part][output] = arrays[name]
    return found


def _load(images: Sequence[Path], preprocessing: Preprocessing) -> Iterator[npt.NDArray[np.uint8]]:
    """Yields images by the loader, uint8 [S, S, 3], compared with the project's preprocessing.

    Raises:
        ExportError: The loader cannot read one, or reads other pixels.
    """
    import tensorflow as tf

    settings = preprocessing.model_dump()
    for file in images:
        expected = preprocessing(tf.constant(file.read_bytes())).numpy()
        try:
            pixels = load_image(file, **settings)
        except OSError as error:
            raise ExportError(
                f"the loader of the export cannot read {file}",
                expected="an image that Pillow decodes",
                received=str(error),
                mend="export a SavedModel, which decodes images by itself",
            ) from None
        apart = np.abs(pixels.astype(np.int16) - expected)
        if apart.max() > 1 or np.mean(apart > 0) > _MAX_DIFFERENT:
            raise ExportError(
                f"the loader of the export reads other pixels of {file} than the model",
                expected=f"the same, or one apart at {_MAX_DIFFERENT:.0%} of the values",
                received=f"{apart.max()} apart at most, and others at {np.mean(apart > 0):.1%}",
                mend="export a SavedModel, which decodes images by itself",
            )
        yield pixels


def _resize(
    images: Sequence[Path], preprocessing: Preprocessing
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yields whole images as the network is to resize them, uint8 [S, S, 3]."""
    size, fit = preprocessing.size, preprocessing.fit
    for file in images:
        with Image.open(file) as image:
            pixels = to_rgb(image, preprocessing.background, preprocessing.depth)
        frame = float(pixels.shape[0]), float(pixels.shape[1])
        yield resize(pixels, frame, size, fit, preprocessing.interpolation)


def _compute(network: Any, pixels: Iterator[npt.NDArray[np.uint8]]) -> Any:
    """Computes a network's outputs for images, in batches."""
    import keras

    found = []
    while batch := list(itertools.islice(pixels, _BATCH_SIZE)):
        # Not by `predict_on_batch`, which traces the network anew for a smaller last batch.
        outputs = network(np.stack(batch).astype(np.float32), training=False)
        found.append(keras.tree.map_structure(keras.ops.convert_to_numpy, outputs))
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *found)
