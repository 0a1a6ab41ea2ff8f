"""Variants of a backbone, whole and truncated, with the scores of their probes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.features.engines.cut_network import Cut, build_cut_network
from pipelines.features.engines.opening import build_probes
from pipelines.features.engines.race import measure_rate
from pipelines.features.extraction import Extractor
from pipelines.inspection.candidates import Candidate
from pipelines.inspection.probe import Indices, ProbeScore, probe_features
from pipelines.inspection.ranking import Variant
from pipelines.recipe.extractor import build_extractor
from pipelines.recipe.levels import MAX_BLOCKS
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.stderr import suppress_stderr
from pipelines.sources.source import Examples
from tuning.linear_heads.comparison import is_better

NUM_TRUNCATIONS = 2
"""Truncated variants of a backbone, where nobody says how many."""

_NUM_TRIALS, _TRIAL_S = 3, 0.15
"""Trials of a network's speed, of which the best counts, and the seconds of each."""


@dataclass(frozen=True)
class ProbedImages:
    """The images that variants are scored on.

    Args:
        examples: The images.
        folds: Pairs of images to fit to and images to score.
        num_classes: C.
    """

    examples: Examples
    folds: Sequence[tuple[Indices, Indices]]
    num_classes: int


def score_variants(
    candidate: Candidate,
    recipe: ResolvedRecipe,
    images: ProbedImages,
    num_truncations: int,
    *,
    lower: bool,
) -> Iterator[tuple[Variant, ProbeScore]]:
    """Yields the variants of a backbone with their scores, the whole backbone first.

    Args:
        candidate: The backbone.
        recipe: Its preprocessing, pooling and engine.
        images: What to score on.
        num_truncations: Truncated variants, at most.
        lower: Whether a variant is read at lower levels too where these help, within the
            places that training compares for the whole backbone.

    Raises:
        ZooError: The backbone or its weights cannot be used.
    """
    size = recipe.input.preprocessing.size
    max_blocks = _count_blocks(lower=lower)
    extractor, cuts = open_extractor(candidate.name, recipe, num_truncations, lower=lower)
    features = extractor.extract(images.examples, 0)
    engine, probes = extractor.open_engine(), build_probes(size)
    rate = max(measure_rate(engine, probes, _TRIAL_S) for _ in range(_NUM_TRIALS))

    def probe(first: Cut, last: Cut) -> ProbeScore:
        rows = features.part(slice(first.start, last.stop)).read(recipe.head.pooling)
        return probe_features(rows, images.examples.labels, images.folds, images.num_classes)

    measured = lower and "backbone.levels" in recipe.to_measure
    for position, cut in enumerate(cuts[: num_truncations + 1]):
        below = [c for c in cuts[position + 1 :] if measured and c.truncate_blocks <= max_blocks]
        levels, score = 1, probe(cut, cut)
        if below and is_better((more := probe(cut, below[-1])).log_losses, score.log_losses):
            levels, score = len(below) + 1, more
        variant = Variant(
            backbone=candidate.name,
            truncate_blocks=cut.truncate_blocks,
            levels=levels,
            input_size=size,
            multiply_adds=cut.multiply_adds,
            num_parameters=cut.num_parameters,
            file_mb=candidate.file_mb,
            license=candidate.weights.license,
            engine=extractor.engine_name,
            images_per_s=float(f"{rate * cuts[0].multiply_adds / cut.multiply_adds:.3g}"),
        )
        yield variant, score


def open_extractor(
    backbone: str, recipe: ResolvedRecipe, num_truncations: int, *, lower: bool
) -> tuple[Extractor, tuple[Cut, ...]]:
    """Builds what computes the features of a backbone, whole and truncated.

    Args:
        backbone: Its name, with weights.
        recipe: Its preprocessing and engine.
        num_truncations: Truncated variants, at most.
        lower: Whether all places that training compares for the whole backbone are among these.

    Returns:
        The extractor, and the cuts in the order of its channels, the whole backbone first.

    Raises:
        ZooError: The backbone or its weights cannot be used.
    """
    size = recipe.input.preprocessing.size
    with suppress_stderr():
        network, cuts = build_cut_network(
            backbone, size, num_truncations, max_blocks=_count_blocks(lower=lower)
        )
    return build_extractor(recipe, network), cuts


def _count_blocks(*, lower: bool) -> int:
    return MAX_BLOCKS if lower else 0
