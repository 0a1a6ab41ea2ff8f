"""What fine-tuning asks of a recipe's other settings."""

from __future__ import annotations

from pipelines.recipe.settings import RecipeSettings
from zoo.errors import RecipeError


def check_fine_tuning(settings: RecipeSettings, *, frozen: bool, use: bool) -> None:
    """Checks that there is a frozen backbone to unfreeze, and maps to train on where asked for.

    Args:
        settings: The recipe.
        frozen: Whether the backbone is frozen in the first phase.
        use: Whether the head trains from features.

    Raises:
        RecipeError: The backbone trains from the start, or its maps cannot be computed once.
    """
    if settings.fine_tune.blocks and not frozen:
        raise RecipeError(
            "fine_tune.blocks unfreezes a frozen backbone, and this one trains from the start",
            expected="backbone.frozen = true, or fine_tune.blocks = 0",
            received=f"backbone.name = {settings.backbone.name!r}, "
            f"fine_tune.blocks = {settings.fine_tune.blocks}",
            mend="choose a pretrained backbone (`zoo list weights`), or --set fine_tune.blocks=0",
        )
    maps = settings.fine_tune.maps
    if not settings.fine_tune.blocks or maps in ("auto", "none"):
        return
    symmetry = settings.backbone.symmetry
    if use and symmetry == "none":
        return
    raise RecipeError(
        "fine_tune.maps needs features of single images, computed once",
        expected="backbone.symmetry = 'none' and features.use = true",
        received=f"{symmetry!r} and {str(use).lower()}",
        mend="--set fine_tune.maps=auto trains on images where it has to",
    )
