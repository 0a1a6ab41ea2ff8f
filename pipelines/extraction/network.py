"""Network of a job: the one whose features training asks for with the same recipe."""

from __future__ import annotations

from pipelines.features.engines.cut_network import build_cut_network
from pipelines.features.extraction import Extractor
from pipelines.recipe.extractor import build_extractor
from pipelines.recipe.levels import MAX_BLOCKS
from pipelines.recipe.resolved import ResolvedRecipe
from pipelines.runtime.stderr import suppress_stderr
from zoo.backbones.catalog import resolve
from zoo.errors import RecipeError


def check_network(recipe: ResolvedRecipe) -> None:
    """Checks that the features of a recipe depend on pretrained weights and one image alone.

    Raises:
        RecipeError: They do not.
    """
    name = recipe.backbone.name
    if resolve(name)[1] is None:
        raise RecipeError(
            f"{name} has random weights, whose features no other job has",
            expected="a backbone with weights",
            received=name,
            mend="`zoo list weights` shows them",
        )
    wrong = {
        "backbone.truncate_blocks": (recipe.backbone.truncate_blocks, 0),
        "backbone.frozen": (recipe.backbone.frozen, True),
    }
    for path, (value, needed) in wrong.items():
        if value != needed:
            raise RecipeError(
                "features can be computed ahead for a whole, frozen backbone alone",
                expected=f"{path}={str(needed).lower()}",
                received=str(value).lower(),
                mend=f"--set {path}={str(needed).lower()}",
            )


def build_extractor_of(recipe: ResolvedRecipe, *, lower: bool) -> Extractor:
    """Builds what computes the features of a recipe.

    Args:
        recipe: Backbone, size, preprocessing and engine.
        lower: Whether those of lower levels are computed, too.

    Raises:
        ZooError: The backbone or its weights cannot be used.
    """
    with suppress_stderr():
        network, _ = build_cut_network(
            recipe.backbone.name,
            recipe.input.size,
            0,
            max_blocks=MAX_BLOCKS if lower else 0,
            symmetry=recipe.backbone.symmetry,
        )
    return build_extractor(recipe, network)
