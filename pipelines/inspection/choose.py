"""Choose a backbone: rank those at hand by a linear probe on a data set's images."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.evaluation.pictures import check_picture
from pipelines.inspection.candidates import Candidate, list_candidates, name_candidates
from pipelines.inspection.probe import Indices, ProbeScore
from pipelines.inspection.ranking import Fetchable, LeftOut, Ranking, Variant, rank_variants
from pipelines.inspection.ranking_picture import draw_ranking
from pipelines.inspection.variants import NUM_TRUNCATIONS, ProbedImages, score_variants
from pipelines.recipe.levels import reads_lower_levels
from pipelines.recipe.measured_depth import measure_input_depth
from pipelines.recipe.overrides import other_backbone
from pipelines.recipe.recipe import Recipe
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.recipe.settings import RecipeSettings
from pipelines.runtime.devices import prepare_devices
from pipelines.runtime.isolation import isolated, start_keras
from pipelines.sources.examining.kept_images import KeptImages
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.opening.describe import describe
from pipelines.sources.source import Examples, Source, join_examples
from pipelines.sources.splitting.groups import group_related
from tuning.folds import stratified_folds, stratified_subset
from zoo.errors import InputError, RecipeError, WeightsError, ZooError
from zoo.weights.fetch import fetch

logger = logging.getLogger(__name__)

NUM_FOLDS = 5
MAX_IMAGES = 2000
"""Images of the probe, at most: by then a difference that matters is clear."""


@isolated()
def choose(
    data: str | Path,
    recipe: RecipeSettings | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    backbones: Sequence[str] = (),
    folds: int = NUM_FOLDS,
    truncations: int = NUM_TRUNCATIONS,
    max_images: int = MAX_IMAGES,
    list_absent: bool = False,
    picture: str | Path | None = None,
) -> Ranking:
    """Ranks pretrained backbones by how well a linear head on their features does.

    The frozen features of each backbone, and of its truncated variants, are computed once; a
    variant is read at as many levels as training would choose. The head is logistic regression on
    standardized features, fitted to all folds but one and scored on that one. Images of the test
    split take no part. The same command gives the same ranking.

    Args:
        data: DATA as the command line takes it.
        recipe: Images, pooling and engine; None takes the preset that suits the data.
        settings: Nested sections that override the recipe of every backbone.
        backbones: The ones to rank, by name, file or preset of KerasHub; none takes all of the
            catalog whose weights are on this machine.
        folds: K, at least 2.
        truncations: Truncated variants of each backbone, at most: without its top blocks, from
            the highest place down where it can be cut.
        max_images: Images of the probe, at most; of each class its share.
        list_absent: Whether to list the backbones that would have to be fetched.
        picture: The PNG to draw accuracy against speed in; None draws none.

    Raises:
        DataError: The images cannot be trained on, or a class has fewer than `folds`.
        RecipeError: The recipe has tasks, or does not suit a backbone that was named.
        InputError: `folds` is below 2, or `picture` cannot be written.
        WeightsError: The weights of a backbone that was named are absent, or none are at hand.
    """
    if folds < 2:
        raise InputError("too few folds", expected="--folds of at least 2", received=str(folds))
    if picture:
        check_picture(Path(picture))
    base = Recipe.of(recipe) if recipe else Recipe.for_data(data)
    base = base.override({"data.source": str(data)})
    start_keras()
    candidates = name_candidates(backbones) if backbones else list_candidates(at_hand=True)
    recipes, left_out = _resolve(base, candidates, settings or {}, strict=bool(backbones))
    for candidate in candidates if backbones else ():
        fetch(candidate.weights)  # an absent file is an error before images are read
    first = next(iter(recipes.values()))
    source = _open(first)
    depth = measure_input_depth(first, source.train).input.depth
    recipes = {name: recipe.with_depth(depth) for name, recipe in recipes.items()}
    examples, divisions = _divide(source, folds, max_images, base.seed)
    images = ProbedImages(examples, divisions, len(source.class_names))
    logger.info(
        f"{data}: {len(source.class_names)} classes, {len(examples)} training and validation "
        f"images in {folds} folds, {len(recipes)} backbone{'s' * (len(recipes) != 1)}"
    )
    scored: list[tuple[Variant, ProbeScore]] = []
    for number, candidate in enumerate(candidates):
        if candidate.name not in recipes:
            continue
        logger.info(f"probing {candidate.name}, {number + 1} of {len(candidates)}")
        try:
            recipe = recipes[candidate.name]
            lower = reads_lower_levels(recipe, len(source.train) + len(source.val))
            scored += score_variants(candidate, recipe, images, truncations, lower=lower)
        except ZooError as error:
            if backbones:
                raise
            left_out.append(LeftOut(candidate.name, str(error)))
    if not scored:
        raise WeightsError("no backbone could be tried", received=left_out[0].reason)
    for failed in left_out:
        logger.warning(f"left out {failed.backbone}: {failed.reason}")
    ranking = Ranking(
        data=str(data),
        num_images=len(examples),
        num_classes=len(source.class_names),
        num_folds=folds,
        rows=rank_variants(scored),
        left_out=tuple(left_out),
        to_fetch=tuple(_list_absent()) if list_absent else (),
    )
    if picture:
        draw_ranking(ranking, Path(picture))
    return ranking


def _resolve(
    base: Recipe,
    candidates: Sequence[Candidate],
    settings: Mapping[str, Any],
    *,
    strict: bool,
) -> tuple[dict[str, ResolvedRecipe], list[LeftOut]]:
    """Returns the recipe of each backbone, and the backbones that no recipe suits.

    Raises:
        ZooError: The recipe suits no backbone, or not one of those that were named.
    """
    recipes: dict[str, ResolvedRecipe] = {}
    errors: dict[str, ZooError] = {}
    for candidate in candidates:
        layers = (base.to_settings(), other_backbone(candidate.name), settings)
        try:
            recipe = Recipe.from_settings(*layers).resolve()
        except ZooError as error:
            if strict:
                raise
            errors[candidate.name] = error
        else:
            recipes[candidate.name] = recipe
    if not recipes:
        raise next(iter(errors.values()))
    return recipes, [LeftOut(name, str(error)) for name, error in errors.items()]


def _open(recipe: ResolvedRecipe) -> Source:
    """Opens the images, and prepares the machine as training does.

    Raises:
        RecipeError: There is more to learn than one class of each image.
    """
    if recipe.tasks:
        raise RecipeError(
            "backbones are compared by one class for each image",
            expected="a recipe without tasks",
            received=", ".join(recipe.tasks),
            mend="choose by the labels of one task, in a table of its own",
        )
    prepare_devices(recipe.device, on_images=False).make_deterministic(recipe.seed)
    source = open_source(
        recipe.source,
        recipe.data,
        seed=recipe.seed,
        tasks=recipe.unbound_tasks,
        kept=KeptImages(recipe.input.preprocessing.decoder, recipe.input.cache_mib),
    )
    for line in describe(source):
        logger.info(line)
    return source


def _divide(
    source: Source, num_folds: int, max_images: int, seed: int
) -> tuple[Examples, list[tuple[Indices, Indices]]]:
    examples = join_examples([source.train, source.val])
    examples = examples.take(stratified_subset(examples.labels, max_images, seed))
    groups = group_related(examples)
    return examples, stratified_folds(examples.labels, num_folds, seed, groups)


def _list_absent() -> Iterator[Fetchable]:
    for candidate in list_candidates(at_hand=False):
        yield Fetchable(
            candidate.name,
            candidate.weights.license,
            candidate.backbone.num_parameters,
            candidate.file_mb,
            candidate.weights.top1,
        )
