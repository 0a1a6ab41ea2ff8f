"""Export of a model in every format and quantization, with the size, speed and accuracy of each."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.evaluation.metrics import compute_metrics
from pipelines.evaluation.predictions import read_outputs
from pipelines.input_pipeline.datasets import build_image_dataset
from pipelines.runtime.isolation import isolated, start_keras
from pipelines.serving.calibration_images import open_labeled
from pipelines.serving.export import check_max_drop, check_to, write_export
from pipelines.serving.export_source import ExportSource, open_export_source
from pipelines.sources.source import Examples
from pipelines.storage.run_folder import RunFolder
from zoo.errors import ZooError
from zoo.export.calibration import MAX_DROP
from zoo.export.formats import FORMATS, Format
from zoo.export.runtimes import OPEN, Network
from zoo.export.signature import open_signer

logger = logging.getLogger(__name__)

ALL = "all"
"""Stands for every format."""

_BATCH_SIZE = 32
_PASSES = 3
_METRICS = {"single_label": "accuracy", "multi_label": "exact_match", "regression": "mae"}
"""The metric of a task that the table has, by the task's kind."""


@isolated()
def export_all(
    model: RunFolder | str | Path,
    to: str | Path,
    *,
    data: str | Path | None = None,
    sign: str | Path | None = None,
    max_drop: float = MAX_DROP,
) -> list[dict[str, Any]]:
    """Exports a model in every format and quantization that it can have, and measures each.

    Each is a model of its own, `to`/FORMAT-QUANTIZATION, such as `saved_models/photos/onnx-int8`.
    One that fails says why, and does not end the others.

    Args:
        model: As of `pipelines.serving.export.export`.
        to: The folder of all the models' folders.
        data: As of `export`.
        sign: As of `export`.
        max_drop: As of `export`.

    Returns:
        A row for each: `format`, `quantize`; `version`, its folder; `bytes` of all of its files;
        `images_per_s`, of the network alone in batches of up to 32, the best of 3; `metrics` on
        the images that it was checked on, by name, of a run; `error`, why it failed. What a
        failed export lacks is null.

    Raises:
        ZooError: As `export`, where it concerns every format.
    """
    to = Path(to)
    check_max_drop(max_drop)
    check_to(to)
    signer = open_signer(Path(sign)) if sign else None
    start_keras()
    source = open_export_source(model, data, to)
    labeled = _with_targets(source, data)
    rows = []
    for row, quantize in _choose(source):
        found: dict[str, Any] = {"format": row.name, "quantize": quantize, "version": None}
        found |= {"bytes": None, "images_per_s": None, "metrics": {}, "error": None}
        rows.append(found)
        try:
            row.check_installed(row.packages_for(quantize))
            version = write_export(
                source,
                row,
                quantize,
                to / f"{row.name}-{quantize}",
                signer,
                data=data,
                max_drop=max_drop,
            )
        except ZooError as error:
            found["error"] = str(error)
            logger.warning(f"{row.name}, {quantize}: {error}")
            continue
        found |= {
            "version": str(version),
            "bytes": sum(path.stat().st_size for path in version.rglob("*") if path.is_file()),
            **_measure(source, labeled, _open(row, version)),
        }
    return rows


def _choose(source: ExportSource) -> Iterator[tuple[Format, str]]:
    """Yields the formats and quantizations that a model can have."""
    has_numbers = any(task.kind == "regression" for task in source.exported.tasks)
    for row in FORMATS.values():
        for quantize in row.quantizations:
            if quantize != "int8" or (source.run and not has_numbers):
                yield row, quantize


def _with_targets(source: ExportSource, data: str | Path | None) -> Examples | None:
    """Returns the images that check the model with their targets, if it is a run."""
    if source.run is None:
        return None
    _, targets = open_labeled(source.run, data, source.examples)
    return replace(source.examples, targets=targets)


def _open(row: Format, version: Path) -> Network:
    """Opens an export in this process."""
    if row.convert is not None:
        return OPEN[row.name](version)
    import tensorflow as tf

    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    return lambda images: {
        name: value.numpy() for name, value in signature(images=tf.constant(images)).items()
    }


def _measure(source: ExportSource, labeled: Examples | None, network: Network) -> dict[str, Any]:
    """Measures a network's speed, and its metrics where there are labels."""
    tasks, preprocessing = source.exported.tasks, source.exported.preprocessing
    images = build_image_dataset(source.examples, preprocessing, _BATCH_SIZE)
    batches = images.as_numpy_iterator()
    first = next(batches)
    outputs = [network(first)]
    seconds = []
    for _ in range(_PASSES):
        start = time.perf_counter()
        network(first)
        seconds.append(time.perf_counter() - start)
    measured: dict[str, Any] = {"images_per_s": len(first) / min(seconds), "metrics": {}}
    if labeled is not None:
        outputs += [network(batch) for batch in batches]
        arrays = {name: np.concatenate([part[name] for part in outputs]) for name in outputs[0]}
        answers = read_outputs(tasks, arrays)
        metrics: Mapping[str, Any] = compute_metrics(
            labeled, answers.predictions, tasks, answers.sets
        )
        for task in tasks:
            name = _METRICS[task.kind]
            of_task = metrics if task.bare else metrics["tasks"][task.name]
            measured["metrics"][name if task.bare else f"{task.name} {name}"] = of_task[name]
    return measured
