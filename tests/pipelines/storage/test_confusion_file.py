"""confusion.csv: what is written is read again, and is small with many classes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.evaluation.classification import compute_classification_metrics
from pipelines.storage.run_folder import RunFolder

NAMES = [f"class {i}, 'a\"b' é" for i in range(1000)]


def measure(num_images: int, num_classes: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    probabilities = rng.random((num_images, num_classes), np.float32)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = rng.integers(0, num_classes, num_images)
    return compute_classification_metrics(labels, probabilities, NAMES[:num_classes])


def test_metrics_are_read_as_they_were_written(tmp_path: Path) -> None:
    tasks = {"kind": measure(30, 4, 1), "age": {"num_images": 30, "mae": 1.0}}
    metrics = {
        "train": {"num_images": 30, "tasks": tasks},
        "test": {"num_images": 30, "tasks": {**tasks, "kind": measure(30, 4, 2)}},
        "device": "a CPU",
    }
    run = RunFolder(tmp_path)
    run.save_metrics(metrics)
    assert run.metrics == {name: metrics[name] for name in ("train", "test")}
    assert run.device == "a CPU"
    assert "confusion_matrix" not in (tmp_path / "metrics.json").read_text()


def test_thousand_classes_take_a_row_an_image(tmp_path: Path) -> None:
    metrics = {split: measure(300, 1000, seed) for seed, split in enumerate(("train", "val"))}
    run = RunFolder(tmp_path)
    run.save_metrics(metrics)
    assert run.metrics == metrics
    with (tmp_path / "confusion.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["split", "task", "true", "predicted", "images"]
    assert sum(int(row["images"]) for row in rows) == 600
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1_000_000


def test_run_without_the_file_is_read(tmp_path: Path) -> None:
    values = {"num_images": 3, "accuracy": 1.0}
    (tmp_path / "metrics.json").write_text(json.dumps({"val": values}))
    assert RunFolder(tmp_path).metrics == {"val": values}
