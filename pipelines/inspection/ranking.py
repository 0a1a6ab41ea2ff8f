"""Ranking of backbones: their probe's scores, which differences are real, and which to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.evaluation.classification import wilson_interval
from pipelines.inspection.paired_tests import bootstrap_mean_interval, mcnemar_p_value
from pipelines.inspection.probe import ProbeScore
from tuning.linear_heads.comparison import MIN_LOG_LOSS_DIFFERENCE

SIGNIFICANCE = 0.05
"""A p-value below this makes a difference in accuracy count as real."""

TEST = (
    "paired by image, against the first: McNemar's exact test of the hits, "
    "95 % bootstrap interval of the difference in log loss, from 0.01 nats on"
)


@dataclass(frozen=True)
class Variant:
    """A backbone, whole or truncated, and what it costs.

    Args:
        backbone: As `--backbone` takes it.
        truncate_blocks: Blocks removed from the top.
        levels: Feature maps that the head reads, from its top down.
        input_size: Height and width of its images, in pixels.
        multiply_adds: For one image.
        num_parameters: Weights of what remains.
        file_mb: Size of the weight file, in MB.
        license: Of the weights.
        engine: The inference engine on this machine.
        images_per_s: Of the engine on this machine, measured on a short sample; that of a
            truncated variant is computed from the whole one's by multiply-adds.
    """

    backbone: str
    truncate_blocks: int
    levels: int
    input_size: int
    multiply_adds: int
    num_parameters: int
    file_mb: float
    license: str
    engine: str
    images_per_s: float

    @property
    def label(self) -> str:
        """The name, and how many blocks are missing."""
        return f"{self.backbone} -{self.truncate_blocks}" if self.truncate_blocks else self.backbone

    @property
    def options(self) -> str:
        """The options of `zoo train` that take it."""
        cut = self.truncate_blocks
        return f"--backbone {self.backbone}" + (
            f" --set backbone.truncate_blocks={cut}" if cut else ""
        )


@dataclass(frozen=True)
class RankedVariant:
    """A variant with the scores of its probe.

    Args:
        variant: The backbone and its cost.
        accuracy: Share of the images classified rightly by heads fitted without them, 0 to 1.
        accuracy_interval: 95 % Wilson interval.
        log_loss: Mean cross-entropy, in nats.
        l2: The strength of the probe's penalty.
        p_value: Of McNemar's exact test that it is as accurate as the first; 1 of the first.
        log_loss_difference: Its log loss minus that of the first.
        log_loss_interval: 95 % bootstrap interval of this difference.
        worse_in: Which of `accuracy` and `log_loss` are really worse than the first's.
    """

    variant: Variant
    accuracy: float
    accuracy_interval: tuple[float, float]
    log_loss: float
    l2: float
    p_value: float
    log_loss_difference: float
    log_loss_interval: tuple[float, float]
    worse_in: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns all figures as one flat object."""
        values = asdict(self)
        return {**values.pop("variant"), **values}


@dataclass(frozen=True)
class LeftOut:
    """A backbone that could not be tried.

    Args:
        backbone: Its name.
        reason: The error, in one line.
    """

    backbone: str
    reason: str


@dataclass(frozen=True)
class Fetchable:
    """A backbone whose weights are not on this machine.

    Args:
        backbone: Its name.
        license: Of the weights.
        num_parameters: Of the whole backbone.
        mb: Approximate size of the download, in MB.
        top1: The publisher's accuracy on ImageNet, 0 to 1, or None if none is stated.
    """

    backbone: str
    license: str
    num_parameters: int
    mb: float
    top1: float | None


@dataclass(frozen=True)
class Ranking:
    """Backbones by how well a linear head on their features classifies a data set.

    Args:
        data: DATA as the user wrote it.
        num_images: Training and validation images of the probe.
        num_classes: Classes of the data set.
        num_folds: Folds of the cross-validation.
        rows: By accuracy, then by log loss.
        left_out: Backbones that failed.
        to_fetch: Backbones that are not at hand, if they were asked for.
    """

    data: str
    num_images: int
    num_classes: int
    num_folds: int
    rows: tuple[RankedVariant, ...]
    left_out: tuple[LeftOut, ...] = ()
    to_fetch: tuple[Fetchable, ...] = ()

    @property
    def take(self) -> RankedVariant:
        """The variant to take: of those not really worse than the first, the cheapest.

        The cost is in multiply-adds, which do not depend on how busy the machine is.
        """
        equals = [row for row in self.rows if not row.worse_in]
        return min(equals, key=lambda row: row.variant.multiply_adds)

    @property
    def reason(self) -> str:
        """Why to take that one."""
        take, first = self.take, self.rows[0]
        if take is first:
            return "it is the most accurate, and each cheaper one is measurably worse"
        share = take.variant.multiply_adds / first.variant.multiply_adds
        low, high = take.log_loss_interval
        return (
            f"no real difference from the first, {first.variant.label} "
            f"(accuracy {take.accuracy:.3f} and {first.accuracy:.3f}, p = {take.p_value:.2g}; "
            f"log loss {take.log_loss_difference:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}), "
            f"for {share:.0%} of its multiply-adds"
        )

    def to_json(self) -> dict[str, Any]:
        """Returns everything as JSON values; only `images_per_s` varies from run to run."""
        variant = self.take.variant
        return {
            "data": self.data,
            "num_images": self.num_images,
            "num_classes": self.num_classes,
            "num_folds": self.num_folds,
            "test": TEST,
            "ranking": [row.to_json() for row in self.rows],
            "take": {
                "backbone": variant.backbone,
                "truncate_blocks": variant.truncate_blocks,
                "options": variant.options,
                "reason": self.reason,
            },
            "left_out": [asdict(row) for row in self.left_out],
            "to_fetch": [asdict(row) for row in self.to_fetch],
        }


def rank_variants(scored: Sequence[tuple[Variant, ProbeScore]]) -> tuple[RankedVariant, ...]:
    """Orders variants by accuracy, and compares each with the first on the same images.

    Of equally accurate ones, the lower log loss comes first, then fewer multiply-adds.

    Args:
        scored: At least one variant, with the scores of its probe.
    """

    def key(pair: tuple[Variant, ProbeScore]) -> tuple[object, ...]:
        variant, score = pair
        return -score.num_hits, score.log_loss, variant.multiply_adds, variant.label

    ordered = sorted(scored, key=key)
    first = ordered[0][1]
    return tuple(_compare(variant, score, first) for variant, score in ordered)


def _compare(variant: Variant, score: ProbeScore, first: ProbeScore) -> RankedVariant:
    p_value = mcnemar_p_value(score.hits, first.hits)
    difference = score.log_loss - first.log_loss
    low, high = bootstrap_mean_interval(score.log_losses - first.log_losses)
    worse = {
        "accuracy": p_value < SIGNIFICANCE and score.num_hits < first.num_hits,
        "log_loss": low > 0 and difference >= MIN_LOG_LOSS_DIFFERENCE,
    }
    lower, upper = wilson_interval(score.num_hits, len(score.hits))
    return RankedVariant(
        variant,
        accuracy=score.accuracy,
        accuracy_interval=(lower, upper),
        log_loss=score.log_loss,
        l2=score.l2,
        p_value=p_value,
        log_loss_difference=difference,
        log_loss_interval=(low, high),
        worse_in=tuple(name for name, is_worse in worse.items() if is_worse),
    )
