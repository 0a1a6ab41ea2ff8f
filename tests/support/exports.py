"""What the fresh process of an export's check answers: kept, to check it again without one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo.export.fresh_process import predict_in_fresh_process

Arrays = dict[str, np.ndarray]
_NAME = "zoo.export.savedmodel.predict_in_fresh_process"


@contextlib.contextmanager
def recorded_answers() -> Iterator[list[tuple[Sequence[Path], Arrays]]]:
    """Keeps the images that each check is about, and the arrays that its process writes."""
    answers: list[tuple[Sequence[Path], Arrays]] = []

    def predict(folder: Path, images: Sequence[Path]) -> Arrays:
        arrays = predict_in_fresh_process(folder, images)
        answers.append((images, dict(arrays)))
        return arrays

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_NAME, predict)
        yield answers


@contextlib.contextmanager
def answering(arrays: Mapping[str, Any]) -> Iterator[None]:
    """Has checks take arrays that a fresh process wrote before for its answers."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_NAME, lambda folder, images: dict(arrays))
        yield
