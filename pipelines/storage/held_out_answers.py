"""held_out.npz: what each image got from the head that it was held out from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.sources.columns import Digests
from zoo.errors import RunError
from zoo.files import replacing
from zoo.reading import read_arrays


@dataclass(frozen=True)
class HeldOutAnswers:
    """Probabilities of images by heads that have not seen them (`train.folds`).

    Args:
        digests: The SHA-256 digest of each image, uint8 [N, 32].
        probabilities: Calibrated as those of the run's model, float32 [N, C].
        near: Whether the head that answered has seen a near-duplicate, bool [N]; None where that
            is not known.
    """

    digests: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]
    near: npt.NDArray[np.bool_] | None = None

    @cached_property
    def _rows(self) -> dict[bytes, int]:
        return {digest.tobytes(): row for row, digest in enumerate(self.digests)}

    def find(self, digests: Sequence[str]) -> npt.NDArray[np.int64]:
        """Returns which images have answers, as indices in rising order.

        Args:
            digests: Hexadecimal, of any images.
        """
        known = [digest.tobytes() in self._rows for digest in Digests.of(digests).binary]
        return np.flatnonzero(known)

    def covers(self, digests: Sequence[str]) -> bool:
        """Returns whether all of these images have answers."""
        return len(self.find(digests)) == len(digests)

    def of(self, digests: Sequence[str]) -> npt.NDArray[np.float32]:
        """Returns the probabilities of images, float32 [M, C].

        Args:
            digests: Hexadecimal, of M images that have answers.
        """
        return self.probabilities[self._rows_of(digests)]

    def near_of(self, digests: Sequence[str]) -> npt.NDArray[np.bool_] | None:
        """Returns whether a near-duplicate of an image was seen, bool [M]; None if not known.

        Args:
            digests: As of `of`.
        """
        return None if self.near is None else self.near[self._rows_of(digests)]

    def _rows_of(self, digests: Sequence[str]) -> list[int]:
        return [self._rows[digest.tobytes()] for digest in Digests.of(digests).binary]

    def save(self, file: Path) -> None:
        """Writes held_out.npz, whole or not at all."""
        arrays: dict[str, Any] = {"digests": self.digests, "probabilities": self.probabilities}
        if self.near is not None:
            arrays["near"] = self.near
        with replacing(file) as temporary:
            np.savez(temporary, **arrays)

    @classmethod
    def load(cls, file: Path, num_classes: int) -> HeldOutAnswers:
        """Reads what `save` wrote.

        Args:
            file: The run's held_out.npz.
            num_classes: C, of the run.

        Raises:
            RunError: The file is damaged, or is for other classes.
        """
        try:
            arrays = read_arrays(file)
            near = arrays.pop("near", None)
            if set(arrays) != {"digests", "probabilities"}:
                raise ValueError(f"arrays {', '.join(sorted(arrays))}")
            digests, values = arrays["digests"], arrays["probabilities"]
            _check(digests, (len(values), 32), np.uint8)
            _check(values, (len(values), num_classes), np.float32)
            if near is not None:
                _check(near, (len(values),), np.bool_)
            if not np.isfinite(values).all():
                raise ValueError("its probabilities are not finite")
        except (OSError, TypeError, ValueError) as error:
            raise RunError(
                f"{file} cannot be used", received=str(error)[:160], mend="train the run again"
            ) from error
        return cls(digests, values, near)


def _check(array: npt.NDArray[np.generic], shape: tuple[int, ...], dtype: type) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"an array of {array.dtype} {array.shape}, not {shape}")
