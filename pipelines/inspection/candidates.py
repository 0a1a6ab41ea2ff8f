"""Backbones to choose from: those whose weights are on this machine, or that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zoo.backbones.base import Backbone
from zoo.backbones.catalog import BACKBONES, WEIGHTS, resolve
from zoo.errors import RecipeError
from zoo.weights.fetch import find_at_hand
from zoo.weights.row import Weights

_BYTES_PER_PARAMETER = 4


@dataclass(frozen=True)
class Candidate:
    """A pretrained backbone.

    Args:
        name: As `--backbone` takes it.
        backbone: The row of the architecture.
        weights: The row of the weights.
    """

    name: str
    backbone: Backbone
    weights: Weights

    @property
    def file_mb(self) -> float:
        """Size of the weight file in MB; of an absent one that of its float32 parameters."""
        path = find_at_hand(self.weights)
        size = path.stat().st_size if path else _BYTES_PER_PARAMETER * self.backbone.num_parameters
        return round(size / 1e6, 1)


def list_candidates(*, at_hand: bool) -> list[Candidate]:
    """Returns the backbones of the catalog whose weight files are on this machine, or are not.

    Args:
        at_hand: Which of both.

    Raises:
        WeightsError: `ZOO_WEIGHTS` is neither a folder nor a URL.
    """
    found = []
    for name, weights in WEIGHTS.items():
        if (find_at_hand(weights) is not None) == at_hand:
            found.append(Candidate(name, BACKBONES[name.partition(".")[0]], weights))
    return found


def name_candidates(names: Sequence[str]) -> list[Candidate]:
    """Returns the backbones of these names, each once.

    Args:
        names: Rows of WEIGHTS, pretrained.npz files or presets of KerasHub.

    Raises:
        UnknownNameError: No backbone has this name.
        RecipeError: A name has random weights.
        WeightsError: A file or preset cannot be read.
        InputError: KerasHub is not installed.
    """
    found = []
    for name in dict.fromkeys(names):
        backbone, weights = resolve(name)
        if weights is None:
            tagged = ", ".join(row.name for row in backbone.weights)
            raise RecipeError(
                f"{name} has random weights, so that there is nothing to transfer",
                expected="a backbone with weights",
                received=name,
                mend=f"take {tagged}" if tagged else "`zoo list weights` shows those with weights",
            )
        found.append(Candidate(name, backbone, weights))
    return found
