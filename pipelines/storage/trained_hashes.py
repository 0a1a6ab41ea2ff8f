"""hashes.npz: the perceptual hashes of the images that a run was trained on."""

from __future__ import annotations

from pathlib import Path

from pipelines.sources.scanning.hashed_images import HashedImages
from pipelines.storage.records import TRAIN_AGAIN
from zoo.errors import RunError
from zoo.files import remove_file


def save_trained_hashes(file: Path, hashed: HashedImages | None) -> None:
    """Writes hashes.npz, or removes that of an earlier training."""
    remove_file(file)
    if hashed is not None:
        hashed.save(file)


def load_trained_hashes(file: Path) -> HashedImages | None:
    """Reads what `save_trained_hashes` wrote.

    Args:
        file: The run's hashes.npz.

    Returns:
        The hashes, without those of images that are too small; None where the run has none.

    Raises:
        RunError: The file is damaged.
    """
    if not file.is_file():
        return None
    try:
        return HashedImages.load(file)
    except (OSError, ValueError) as error:
        raise RunError(
            f"{file} cannot be used", received=str(error)[:160], mend=TRAIN_AGAIN
        ) from error
