"""Run: a finished training job, ready to predict, evaluate and export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.evaluation.evaluate import evaluate
from pipelines.serving.export import export
from pipelines.serving.inputs import Image
from pipelines.serving.predict import predict
from pipelines.serving.prediction import Prediction
from pipelines.storage.run_folder import RunFolder
from pipelines.storage.split_metrics import SplitMetrics
from zoo.export.calibration import MAX_DROP


class Run(RunFolder):
    """A finished run: its folder, its metrics and its model.

    Args:
        path: The folder; `Run.open` checks that it holds a finished run.

    Example:
        run = tz.Run.open("runs/photos")
        run.metrics["val"]["accuracy"], run.timing["wall_s"], run.device
        run.predict("new_photos/")[0].label
    """

    def predict(self, images: Image | Sequence[Image], top: int = 5) -> list[Prediction]:
        """Predicts images; see `pipelines.serving.predict.predict`.

        Args:
            images: Files, folders, globs, bytes of files, pictures of Pillow or arrays.
            top: Number of classes or labels to name, at most.

        Returns:
            One prediction an image, in their order. The model is loaded at the first call.
        """
        return predict(self, images, top=top)

    def evaluate(
        self, data: str | Path, *, split: str | None = None, foreign: str | Path | None = None
    ) -> dict[str, SplitMetrics]:
        """Measures the model on labeled images; see `pipelines.evaluation.evaluate.evaluate`.

        Args:
            data: The images.
            split: Of which of its splits; None measures each.
            foreign: Images of none of the classes.
        """
        return evaluate(self, data, split=split, foreign=foreign)

    def export(
        self,
        to: str | Path,
        *,
        data: str | Path | None = None,
        sign: str | Path | None = None,
        format: str = "savedmodel",
        quantize: str = "none",
        max_drop: float = MAX_DROP,
    ) -> Path:
        """Writes the model in a format and proves it; see `pipelines.serving.export.export`.

        Args:
            to: The model's folder, for a new version.
            data: The data set with the run's images, if it has moved.
            sign: A private key to sign the export with, a PEM file.
            format: A row of FORMATS.
            quantize: One of the format's quantizations.
            max_drop: Points of accuracy that `int8` may lose.

        Returns:
            The version's folder.
        """
        return export(
            self, to, data=data, sign=sign, format=format, quantize=quantize, max_drop=max_drop
        )
