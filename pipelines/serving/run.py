"""Run: a finished training job, ready to predict, evaluate and export."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.evaluation.evaluate import evaluate
from pipelines.serving.export import export
from pipelines.serving.image_files import Images
from pipelines.serving.predict import predict
from pipelines.serving.prediction import Prediction
from pipelines.storage.run_folder import RunFolder
from pipelines.storage.split_metrics import SplitMetrics


class Run(RunFolder):
    """A finished run: its folder, its metrics and its model.

    Args:
        path: The folder; `Run.open` checks that it holds a finished run.

    Example:
        run = tz.Run.open("runs/photos")
        run.metrics["val"]["accuracy"], run.timing["wall_s"], run.device
        run.predict("new_photos/")[0].label
    """

    @cached_property
    def model(self) -> Any:
        """The trained `keras.Model`, loaded once.

        It maps images float32 [B, S, S, 3] in 0 to 255 to probabilities float32 [B, C],
        or to a dictionary by the tasks' names.

        Raises:
            RunError: model.keras is damaged, or does not fit labels.json.
        """
        return self.load_model()

    def predict(self, images: Images, top: int = 5) -> list[Prediction]:
        """Predicts images; see `pipelines.serving.predict.predict`."""
        return predict(self.path, images, top=top)

    def evaluate(self, data: str | Path, *, split: str | None = None) -> dict[str, SplitMetrics]:
        """Measures the model on labeled images; see `pipelines.evaluation.evaluate.evaluate`."""
        return evaluate(self, data, split=split)

    def export(self, to: str | Path, *, data: str | Path | None = None) -> Path:
        """Writes a SavedModel and proves it; see `pipelines.serving.export.export`."""
        return export(self, to, data=data)
