"""Run: a finished training job, ready to predict, evaluate and export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.evaluation.evaluate import evaluate
from pipelines.serving.export import export
from pipelines.serving.predict import Prediction, predict
from pipelines.storage.run_folder import RunFolder


class Run(RunFolder):
    """A finished run: its folder, and what can be done with its model."""

    def predict(self, images: Sequence[str | Path], top: int = 5) -> list[Prediction]:
        """Classifies image files; see `pipelines.serving.predict.predict`."""
        return predict(self.path, images, top=top)

    def evaluate(self, data: str | Path, *, split: str = "") -> dict[str, Any]:
        """Measures the model on labeled images; see `pipelines.evaluation.evaluate.evaluate`."""
        return evaluate(self, data, split=split)

    def export(self, to: str | Path, *, data: str = "") -> Path:
        """Writes a proven SavedModel; see `pipelines.serving.export.export`."""
        return export(self, to, data=data)
