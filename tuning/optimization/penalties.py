"""L1 and L2 penalties on kernels, and statistics of penalized weights.

Kernels are penalized; biases and the parameters of batch normalization are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from zoo.config import Config
from zoo.table import Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Strength = Annotated[float, Field(ge=0, le=100)]


@dataclass(frozen=True)
class Penalty:
    """A penalty.

    Args:
        name: The key in PENALTIES.
        summary: The penalty, and when to use it.
        l1: Its usual strength of Σ|θ|; 0 if it has no such term.
        l2: Its usual strength of Σθ²; 0 if it has no such term.
    """

    name: str
    summary: str
    l1: float = 0.0
    l2: float = 0.0


PENALTIES: Table[Penalty] = Table(
    "penalty",
    [
        Penalty("none", "no penalty; dropout and early stopping already regularize the head"),
        Penalty("l1", "l1·Σ|θ|: sets weights to exactly 0, for a sparse head", l1=1e-4),
        Penalty("l2", "l2·Σθ²: keeps all weights small, against overfitting", l2=1e-4),
        Penalty(
            "elastic_net",
            "l1·Σ|θ| + l2·Σθ²: sparse, but keeps all of a group of correlated features",
            l1=1e-4,
            l2=1e-4,
        ),
    ],
)


class PenaltyConfig(Config):
    """The penalty on the kernels of the head and of the backbone's trained part.

    A strong penalty underfits, a weak one overfits; cross-validation finds the best. Decoupled
    weight decay is a setting of the optimizer: `optimizer.weight_decay`.

    Args:
        name: A row of PENALTIES; left out, `l2` for a head on features and `none` otherwise.
        l1: Strength of Σ|θ| over the head's kernels, 0 to 100; left out, the penalty's default.
        l2: Strength of Σθ² over the head's kernels, likewise; `auto` tries a dozen strengths on
            features and takes the one with the lowest validation loss.
        backbone_l1: Strength of Σ|θ| over the backbone's trained kernels; left out, the head's.
        backbone_l2: Strength of Σθ² over them, likewise.
    """

    name: str | None = None
    l1: Strength | None = None
    l2: Strength | Literal["auto"] = "auto"
    backbone_l1: Strength | None = None
    backbone_l2: Strength | None = None

    @field_validator("name")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        return PENALTIES[name].name if name else None

    @model_validator(mode="after")
    def _has_its_terms(self) -> PenaltyConfig:
        row = self.row or PENALTIES["l2"]
        for field, default in self._defaults(row).items():
            if getattr(self, field) not in (None, "auto", 0.0) and not default:
                raise ValueError(
                    f"name = {row.name!r} has no {field}; expected {field} = 0, or another name: "
                    + ", ".join(p.name for p in PENALTIES.values() if self._defaults(p)[field])
                )
        return self

    @staticmethod
    def _defaults(row: Penalty) -> dict[str, float]:
        return {"l1": row.l1, "l2": row.l2, "backbone_l1": row.l1, "backbone_l2": row.l2}

    @property
    def row(self) -> Penalty | None:
        """The row of PENALTIES; None where neither a name nor a strength of L2 is given."""
        if self.name:
            return PENALTIES[self.name]
        return None if self.l2 == "auto" else PENALTIES["l2"]

    @property
    def has_l1(self) -> bool:
        """Whether the penalty has an L1 term, which sets weights to exactly 0."""
        return bool(self.row and self.row.l1)

    @property
    def measures_l2(self) -> bool:
        """Whether the strength of L2 is to be found by validation."""
        return self.l2 == "auto" and (self.row is None or bool(self.row.l2))

    def completed(self) -> PenaltyConfig:
        """Returns a copy in which default strengths are replaced by their values.

        An L2 strength that is not measured is the usual one of the penalty named, and 0 where
        none is named.
        """
        row = self.row or PENALTIES["none"]
        l1 = row.l1 if self.l1 is None else self.l1
        l2 = row.l2 if self.l2 == "auto" else self.l2
        return self.model_copy(
            update={
                "name": row.name,
                "l1": l1,
                "l2": l2,
                "backbone_l1": l1 if self.backbone_l1 is None else self.backbone_l1,
                "backbone_l2": l2 if self.backbone_l2 is None else self.backbone_l2,
            }
        )

    def with_measured_l2(self, l2: float) -> PenaltyConfig:
        """Returns a copy with an L2 strength that was found for the head.

        The backbone's kernels, which are not those of standardized features, keep theirs.

        Args:
            l2: The strength.
        """
        name = self.name if self.row and self.row.l1 else "l2"
        return self.model_copy(update={"name": name, "l2": l2})


def soft_threshold(weights: Any, threshold: Any) -> Any:
    """Shrinks weights towards 0: the proximal operator of threshold·Σ|θ|.

    Args:
        weights: A float tensor θ.
        threshold: At least 0; a number, or a tensor that broadcasts.

    Returns:
        sign(θ)·max(|θ| − threshold, 0), exactly 0 where |θ| is at most the threshold.
    """
    from keras import ops

    return ops.sign(weights) * ops.maximum(ops.abs(weights) - threshold, 0)


def is_kernel(variable: Any) -> bool:
    """Returns whether a `keras.Variable` is a kernel, which penalties apply to."""
    return str(variable.path).endswith("kernel")


def summarize_kernels(
    kernels: Mapping[str, npt.NDArray[np.float32]], l1: float, l2: float
) -> dict[str, Any]:
    """Computes norms, sparsity and penalty of kernels.

    Args:
        kernels: By layer name, of any shape.
        l1: Strength of Σ|θ|.
        l2: Strength of Σθ².

    Returns:
        JSON values: `num_weights`, `num_zeros`, `sparsity` (the fraction of zeros), `l1_norm`
        (Σ|θ|), `l2_norm` (√Σθ²), `penalty` (l1·Σ|θ| + l2·Σθ²), and `layers` with the first five
        for each layer.
    """
    import numpy as np

    def summarize(arrays: list[npt.NDArray[np.float32]]) -> dict[str, Any]:
        flat = np.concatenate([a.ravel() for a in arrays]).astype(np.float64)
        zeros = int((flat == 0).sum())
        return {
            "num_weights": flat.size,
            "num_zeros": zeros,
            "sparsity": zeros / flat.size,
            "l1_norm": float(np.abs(flat).sum()),
            "l2_norm": float(np.sqrt(np.square(flat).sum())),
        }

    summary = summarize(list(kernels.values()))
    summary["penalty"] = l1 * summary["l1_norm"] + l2 * summary["l2_norm"] ** 2
    summary["layers"] = {name: summarize([kernel]) for name, kernel in kernels.items()}
    return summary
