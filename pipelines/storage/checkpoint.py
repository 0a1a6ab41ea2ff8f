"""Checkpoint: where a job stood after its last finished epoch, as one file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.errors import RunError
from zoo.files import replacing
from zoo.reading import parse_json, read_arrays

History = list[dict[str, Any]]
"""A row an epoch: `epoch` from 1, `phase`, losses and metrics, `learning_rate`, `wall_s`."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything the next epoch depends on.

    Args:
        epoch: The last finished epoch, from 0 through the whole job.
        history: The rows of all finished epochs.
        data_digest: `Source.digest` of the images.
        phase: Position of the phase among the job's phases.
        stopping: State of early stopping, JSON values.
        plateau: State of the schedule `reduce_on_plateau`, JSON values.
        current: Variables of the model and its optimizer, in order.
        best: The best weights so far, in order; empty before the first validation.
        named: Arrays by name, of jobs that train no Keras model.
    """

    epoch: int
    history: History
    data_digest: str
    phase: int = 0
    stopping: Mapping[str, Any] = field(default_factory=dict)
    plateau: Mapping[str, Any] = field(default_factory=dict)
    current: Sequence[npt.NDArray[Any]] = ()
    best: Sequence[npt.NDArray[Any]] = ()
    named: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def save(self, file: Path) -> None:
        """Writes the checkpoint as one .npz file, in place of an earlier one."""
        state = {
            "epoch": self.epoch,
            "history": self.history,
            "data_digest": self.data_digest,
            "phase": self.phase,
            "stopping": self.stopping,
            "plateau": self.plateau,
        }
        arrays: dict[str, Any] = {f"current_{i}": a for i, a in enumerate(self.current)}
        arrays |= {f"best_{i}": array for i, array in enumerate(self.best)}
        arrays |= {f"named/{name}": array for name, array in self.named.items()}
        packed = np.frombuffer(json.dumps(state).encode(), np.uint8)
        with replacing(file) as temporary:
            np.savez(temporary, state=packed, **arrays)

    @classmethod
    def load(cls, file: Path) -> Checkpoint | None:
        """Reads a checkpoint; None where there is no file.

        Raises:
            RunError: The file is damaged.
        """
        if not file.exists():
            return None
        try:
            arrays = read_arrays(file)
            state = parse_json(arrays.pop("state").tobytes())
            current, best = _numbered(arrays, "current"), _numbered(arrays, "best")
            named = {
                name.removeprefix("named/"): array
                for name, array in arrays.items()
                if name.startswith("named/")
            }
            loaded = cls(**state, current=current, best=best, named=named)
            loaded._check()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{file} is damaged",
                received=str(error)[:120],
                mend="choose another --out and start again",
            ) from error
        return loaded

    def _check(self) -> None:
        """Checks what a damaged or forged file may hold.

        Raises:
            ValueError: Its parts do not belong together.
        """
        kinds = {
            "epoch": int, "history": list, "data_digest": str, "phase": int, "stopping": dict,
            "plateau": dict,
        }  # fmt: skip
        for name, kind in kinds.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"{name} = {value!r}"[:80])
        if not all(isinstance(row, dict) and isinstance(row.get("epoch"), int)
                   for row in self.history):  # fmt: skip
            raise ValueError("an epoch without its number")
        # A phase that converged leaves out the rest of its epochs.
        numbers = [0, *(row["epoch"] for row in self.history)]
        rises = all(a < b for a, b in pairwise(numbers))
        if not rises or numbers[-1] != self.epoch + 1 or self.phase < 0:
            raise ValueError(f"epoch {self.epoch} of phase {self.phase}, after {numbers[-1]}")


def _numbered(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> list[npt.NDArray[Any]]:
    count = sum(name.startswith(f"{prefix}_") for name in arrays)
    return [arrays[f"{prefix}_{i}"] for i in range(count)]
