"""Penalties: what large weights cost, and how L1 makes weights exactly zero.

Kernels are penalized; biases and what batch normalization learns are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator, model_validator

from zoo.config import Config
from zoo.table import Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Strength = Annotated[float, Field(ge=0, le=100)]


@dataclass(frozen=True)
class Penalty:
    """One penalty.

    Args:
        name: The key in PENALTIES.
        summary: What it adds to the loss, and when to use it.
        l1: The usual strength of Σ|θ|; 0 where it has none.
        l2: The usual strength of Σθ²; 0 where it has none.
    """

    name: str
    summary: str
    l1: float = 0.0
    l2: float = 0.0


PENALTIES: Table[Penalty] = Table(
    "penalty",
    [
        Penalty("none", "nothing; dropout and early stopping hold the head back already"),
        Penalty("l1", "l1·Σ|θ|: sets weights to exactly 0, for a head of few connections", l1=1e-4),
        Penalty("l2", "l2·Σθ²: keeps all weights small; against overfitting", l2=1e-4),
        Penalty(
            "elastic_net",
            "l1·Σ|θ| + l2·Σθ²: zeros, and of features alike it keeps all and not one",
            l1=1e-4,
            l2=1e-4,
        ),
    ],
)


class PenaltyConfig(Config):
    """What large weights cost, in the head and in what is trained of the backbone.

    A stronger penalty makes a simpler model and underfits in the end, a weaker one
    overfits; the best is found by cross-validation. Decoupled weight decay is the
    optimizer's: `optimizer.weight_decay`.

    Args:
        name: A row of PENALTIES.
        l1: Strength of Σ|θ| over the head's kernels, at least 0; left out, the usual one of
            a penalty that has it.
        l2: Strength of Σθ² over the head's kernels, likewise.
        backbone_l1: Strength of Σ|θ| over the backbone's kernels while they are
            trained; left out, the head's.
        backbone_l2: Strength of Σθ² over them, likewise.
    """

    name: str = "none"
    l1: Strength | None = None
    l2: Strength | None = None
    backbone_l1: Strength | None = None
    backbone_l2: Strength | None = None

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return PENALTIES[name].name

    @model_validator(mode="after")
    def _has_what_it_weighs(self) -> PenaltyConfig:
        row = PENALTIES[self.name]
        for field, usual in self._usual(row).items():
            if getattr(self, field) and not usual:
                raise ValueError(
                    f"name = {self.name!r} has no {field}; expected {field} = 0, or another name: "
                    + ", ".join(p.name for p in PENALTIES.values() if self._usual(p)[field])
                )
        return self

    @staticmethod
    def _usual(row: Penalty) -> dict[str, float]:
        return {"l1": row.l1, "l2": row.l2, "backbone_l1": row.l1, "backbone_l2": row.l2}

    @property
    def has_l1(self) -> bool:
        """Whether weights are to become exactly 0."""
        return bool(PENALTIES[self.name].l1)

    def completed(self) -> PenaltyConfig:
        """Returns the same with the penalty's own strengths written out."""
        row = PENALTIES[self.name]
        l1 = row.l1 if self.l1 is None else self.l1
        l2 = row.l2 if self.l2 is None else self.l2
        return self.model_copy(
            update={
                "l1": l1,
                "l2": l2,
                "backbone_l1": l1 if self.backbone_l1 is None else self.backbone_l1,
                "backbone_l2": l2 if self.backbone_l2 is None else self.backbone_l2,
            }
        )


def soft_threshold(weights: Any, threshold: Any) -> Any:
    """Moves weights towards 0 and stops there: the proximal operator of threshold·Σ|θ|.

    Args:
        weights: A float tensor.
        threshold: At least 0; a number, or a tensor that broadcasts.

    Returns:
        sign(θ)·max(|θ| − threshold, 0); a weight no larger than it is exactly 0.
    """
    from keras import ops

    return ops.sign(weights) * ops.maximum(ops.abs(weights) - threshold, 0)


def is_kernel(variable: Any) -> bool:
    """Tells whether a `keras.Variable` multiplies a layer's input, and is penalized."""
    return str(variable.path).endswith("kernel")


def weigh(kernels: Mapping[str, npt.NDArray[np.float32]], l1: float, l2: float) -> dict[str, Any]:
    """Says how large weights are and how many of them are exactly 0.

    Args:
        kernels: By layer, of any shape.
        l1: Strength of Σ|θ|.
        l2: Strength of Σθ².

    Returns:
        JSON values: `num_weights`, `num_zeros`, `sparsity` (their ratio), `l1_norm`
        (Σ|θ|), `l2_norm` (√Σθ²), `penalty` (l1·Σ|θ| + l2·Σθ²), and `layers` with the
        first five for each layer.
    """
    import numpy as np

    def figures(arrays: list[npt.NDArray[np.float32]]) -> dict[str, Any]:
        flat = np.concatenate([a.ravel() for a in arrays]).astype(np.float64)
        zeros = int((flat == 0).sum())
        return {
            "num_weights": flat.size,
            "num_zeros": zeros,
            "sparsity": zeros / flat.size,
            "l1_norm": float(np.abs(flat).sum()),
            "l2_norm": float(np.sqrt(np.square(flat).sum())),
        }

    whole = figures(list(kernels.values()))
    whole["penalty"] = l1 * whole["l1_norm"] + l2 * whole["l2_norm"] ** 2
    whole["layers"] = {name: figures([kernel]) for name, kernel in kernels.items()}
    return whole
