"""The commands that look at a data set: `audit` and `augment`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import Data, Json, RecipeFile, Set
from pipelines.cli.recipe_options import build_recipe


def audit(
    data: Data,
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            metavar="NAME",
            help="Look at the images with this backbone, as `zoo train` takes it, too: label "
            "errors, near-duplicates, leaks, outliers.",
        ),
    ] = None,
    suspects: Annotated[
        Path | None,
        typer.Option(
            "--suspects",
            metavar="FILE.csv",
            help="Write the labels that the backbone doubts, to edit and to feed back by "
            "--set data.relabel=FILE.csv.",
        ),
    ] = None,
    unlabeled: Annotated[
        str | None,
        typer.Option(
            "--unlabeled",
            metavar="DATA",
            help="Images without labels, to choose from which to label next.",
        ),
    ] = None,
    next_labels: Annotated[
        Path | None,
        typer.Option(
            "--next-labels",
            metavar="FILE.csv",
            help="Write those whose labels would teach most; filled in, the table is DATA.",
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", metavar="N", min=1, help="How many to label next.")
    ] = 100,
    recipe: RecipeFile = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Report problems of a data set; exit with 1 if it has any."""
    from pipelines.cli.printing import print_json, show
    from pipelines.inspection.audit import audit as audit_data

    settings = build_recipe(data, recipe, backbone=backbone, assignments=set_)
    found = audit_data(
        data,
        settings.data,
        settings.unbound_tasks,
        backbone=backbone,
        recipe=settings if backbone else None,
        suspects=suspects,
        unlabeled=unlabeled,
        next_labels=next_labels,
        count=count,
    )
    if as_json:
        print_json(found.to_json())
    else:
        for line in found.lines():
            show(line)
    if not found.clean:
        raise typer.Exit(1)


def augment(
    data: Data,
    preview: Annotated[
        Path, typer.Option("--preview", metavar="FILE.png", help="The picture to write.")
    ],
    recipe: RecipeFile = None,
    set_: Set = None,
) -> None:
    """Draw a data set's images as training augments them."""
    from pipelines.cli.printing import show
    from pipelines.training.preview import preview as draw_preview

    show(draw_preview(data, build_recipe(data, recipe, assignments=set_), picture=preview))
