"""The command `zoo choose`: which backbone suits a data set's images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import Data, Json, RecipeFile, Set

if TYPE_CHECKING:
    from pipelines.inspection.ranking import RankedVariant, Ranking


def choose(
    data: Data,
    folds: Annotated[
        int, typer.Option("--folds", metavar="K", help="Folds of the cross-validation.")
    ] = 5,
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            "--backbone",
            metavar="NAME",
            help="A backbone to rank, as `zoo train` takes it; may be repeated. By default all of "
            "`zoo list weights` that are on this machine.",
        ),
    ] = None,
    truncations: Annotated[
        int,
        typer.Option(
            "--truncations",
            metavar="N",
            min=0,
            help="Truncated variants of each backbone, without its top blocks.",
        ),
    ] = 2,
    max_images: Annotated[
        int,
        typer.Option(
            "--max-images", metavar="N", min=1, help="Images to rank by, of each class its share."
        ),
    ] = 2000,
    list_absent: Annotated[
        bool,
        typer.Option("--all", help="List the backbones that would have to be fetched, too."),
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.png", help="Draw accuracy against speed."),
    ] = None,
    recipe: RecipeFile = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Rank the backbones at hand by a linear probe on a data set's images."""
    from pipelines.cli.printing import print_json
    from pipelines.inspection.choose import choose as choose_backbone
    from pipelines.recipe.overrides import parse_overrides
    from pipelines.recipe.recipe import Recipe

    ranking = choose_backbone(
        data,
        Recipe.for_data(data, file=recipe),
        settings=parse_overrides(set_ or []),
        backbones=backbone or (),
        folds=folds,
        truncations=truncations,
        max_images=max_images,
        list_absent=list_absent,
        picture=picture,
    )
    if as_json:
        print_json(ranking.to_json())
    else:
        _print_ranking(ranking)


def _print_ranking(ranking: Ranking) -> None:
    from pipelines.cli.printing import print_grid, show

    header = [
        "backbone", "accuracy", "95 % interval", "log loss", "against the first",
        "images/s", "M multiply-adds", "M parameters", "file MB", "license",
    ]  # fmt: skip
    print_grid(header, [_format_row(row, row is ranking.rows[0]) for row in ranking.rows])
    if ranking.to_fetch:
        print("\nto be fetched:")
        rows = [
            [
                row.backbone,
                f"{row.num_parameters / 1e6:.1f}",
                f"{row.mb:.0f}",
                "" if row.top1 is None else f"{row.top1:.3f}",
                row.license,
            ]
            for row in ranking.to_fetch
        ]
        print_grid(["backbone", "M parameters", "about MB", "top1", "license"], rows)
        print()
    show(f"take {ranking.take.variant.options}: {ranking.reason}")


def _format_row(row: RankedVariant, is_first: bool) -> list[str]:
    variant = row.variant
    low, high = row.accuracy_interval
    return [
        variant.label,
        f"{row.accuracy:.3f}",
        f"{low:.3f} to {high:.3f}",
        f"{row.log_loss:.3f}",
        "first" if is_first else _format_comparison(row),
        f"{variant.images_per_s:,.0f}",
        f"{variant.multiply_adds / 1e6:,.0f}",
        f"{variant.num_parameters / 1e6:.2f}",
        f"{variant.file_mb:.1f}",
        variant.license,
    ]


def _format_comparison(row: RankedVariant) -> str:
    if not row.worse_in:
        return f"no real difference (p = {row.p_value:.2g})"
    if "accuracy" in row.worse_in:
        return f"worse (p = {row.p_value:.2g})"
    low, high = row.log_loss_interval
    return f"worse (log loss +{low:.3f} to +{high:.3f})"
