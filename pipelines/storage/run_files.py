"""Where the files of a run lie."""

from __future__ import annotations

from pathlib import Path

from pipelines.storage.destination import (
    HASHES_FILE,
    HELD_OUT_FILE,
    MODEL_FILE,
    PRETRAINED_FILE,
    RECIPE_FILE,
    UNKNOWN_FILE,
)


class RunFiles:
    """Paths of the files in a run folder.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @property
    def recipe_file(self) -> Path:
        """The complete recipe."""
        return self.path / RECIPE_FILE

    @property
    def model_file(self) -> Path:
        """The classifier with its best weights."""
        return self.path / MODEL_FILE

    @property
    def unknown_file(self) -> Path:
        """What tells foreign images from those of the classes."""
        return self.path / UNKNOWN_FILE

    @property
    def held_out_file(self) -> Path:
        """The answers of fold heads to the images that they were held out from."""
        return self.path / HELD_OUT_FILE

    @property
    def hashes_file(self) -> Path:
        """The perceptual hashes of the images that it was trained on."""
        return self.path / HASHES_FILE

    @property
    def metrics_file(self) -> Path:
        """The metrics; a run that has it is finished."""
        return self.path / "metrics.json"

    @property
    def digests_file(self) -> Path:
        """The SHA-256 of every image, by split."""
        return self.path / "images.json"

    @property
    def pretrained_file(self) -> Path:
        """The backbone that `zoo pretrain` writes."""
        return self.path / PRETRAINED_FILE

    @property
    def confusion_file(self) -> Path:
        """The confusion matrices of a finished classifier."""
        return self.path / "confusion.csv"

    @property
    def checkpoint_file(self) -> Path:
        """The checkpoint that `--resume` reads."""
        return self.path / "checkpoint" / "last.npz"
