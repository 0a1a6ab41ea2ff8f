"""What a trial scored on each validation image, small enough to keep for every trial."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import RunError
from zoo.files import replacing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MOST_IMAGES = 2_000
"""Up to so many validation images all epochs of a trial are kept, otherwise the best one alone.

Of more images the best of many epochs is hardly better by luck.
"""

_LARGEST = 65504.0
"""The largest float16."""


@dataclass(frozen=True)
class ImageScores:
    """The score and the loss of each of N validation images in each of E epochs.

    Images are in the order of the validation split; of folds, one fold's after the other's.

    Args:
        num_epochs: E, at least 1. Epochs that were not validated are left out.
        packed: float16 [2, E, N], little-endian: scores, whose mean is the trial's score, and
            losses.
    """

    num_epochs: int
    packed: bytes

    @classmethod
    def of(cls, scores: npt.NDArray[np.floating], losses: npt.NDArray[np.floating]) -> ImageScores:
        """Packs scores and losses.

        Args:
            scores: [E, N].
            losses: [E, N]; those above 65,504, and those that are not a number, count as that.
        """
        import numpy as np

        both = np.nan_to_num(np.stack([scores, losses]).astype(np.float64), nan=_LARGEST)
        return cls(len(scores), both.clip(-_LARGEST, _LARGEST).astype("<f2").tobytes())

    def values(self) -> npt.NDArray[np.float32]:
        """Returns scores and losses, float32 [2, E, N]."""
        import numpy as np

        values = np.frombuffer(self.packed, "<f2").reshape(2, self.num_epochs, -1)
        return values.astype(np.float32)

    def save(self, file: Path) -> None:
        """Writes an .npz file of two arrays float16 [E, N], `scores` and `losses`."""
        import numpy as np

        scores, losses = np.frombuffer(self.packed, "<f2").reshape(2, self.num_epochs, -1)
        with replacing(file) as temporary:
            np.savez(temporary, scores=scores, losses=losses)

    @classmethod
    def load(cls, file: Path) -> ImageScores:
        """Reads what `save` wrote.

        Raises:
            RunError: The file is damaged.
        """
        from zoo.reading import read_arrays

        try:
            arrays = read_arrays(file)
            scores, losses = arrays["scores"], arrays["losses"]
            if scores.dtype != "<f2" or scores.ndim != 2 or not len(scores):
                raise ValueError(f"scores {scores.dtype} {list(scores.shape)}")
            return cls.of(scores, losses)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{file} is damaged",
                received=f"{type(error).__name__}: {str(error)[:80]}",
                mend="remove it and go on with --resume; the search ends without a corrected score",
            ) from None

    def to_json(self) -> dict[str, int | str]:
        """Returns it as JSON values."""
        packed = base64.b64encode(zlib.compress(self.packed)).decode()
        return {"num_epochs": self.num_epochs, "packed": packed}

    @classmethod
    def from_json(cls, values: dict[str, int | str]) -> ImageScores:
        """Reads what `to_json` returned.

        Raises:
            ValueError: It is something else.
        """
        try:
            packed = zlib.decompress(base64.b64decode(str(values["packed"]), validate=True))
            num_epochs = int(values["num_epochs"])
        except (KeyError, TypeError, zlib.error) as error:
            raise ValueError(f"no scores of images: {error}") from None
        if num_epochs < 1 or len(packed) % (4 * num_epochs):
            raise ValueError(f"no scores of images: {len(packed)} bytes, {num_epochs} epochs")
        return cls(num_epochs, packed)


def join_folds(
    metrics: Sequence[Mapping[int, npt.NDArray[np.float32]]], *, of_loss: bool
) -> ImageScores:
    """Joins what the images of each fold scored, epoch by epoch.

    A fold that ended early keeps its last values, as in
    `tuning.hyperparameters.fold_results.result_at_common_epoch`.

    Args:
        metrics: Of each fold, by epoch float32 [2, n]: of each image the loss, and 1 where it is
            right.
        of_loss: Whether the score is the loss; otherwise it is the share of right answers.
    """
    import numpy as np

    joined = []
    for epoch in sorted(set().union(*metrics)):
        latest = [
            by_epoch[max((e for e in by_epoch if e <= epoch), default=min(by_epoch))]
            for by_epoch in metrics
        ]
        joined.append(np.concatenate(latest, axis=1))
    losses, hits = np.stack(joined, axis=1)
    return ImageScores.of(losses if of_loss else hits, losses)
