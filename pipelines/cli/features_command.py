"""The command `zoo features`: the features of very many images, computed anywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import Backbone, Cluster, Data, Insecure, Json, RecipeFile, Set

_SHOWN = 20
"""Images without features that are named, at most."""


def features(
    data: Data,
    out: Annotated[
        str,
        typer.Option(
            "--out",
            metavar="PLACE",
            help="A folder, or an address such as s3://bucket/features; DATA from then on.",
        ),
    ],
    backbone: Backbone = None,
    recipe: RecipeFile = None,
    set_: Set = None,
    shard_images: Annotated[
        int,
        typer.Option(
            "--shard-images", metavar="N", min=1, help="Images that a lost worker costs, at most."
        ),
    ] = 1000,
    cluster: Cluster = None,
    insecure: Insecure = False,
    as_json: Json = False,
) -> None:
    """Compute the features of images once, for every later job; goes on where it was."""
    from pipelines.cli.printing import print_json, show
    from pipelines.cli.recipe_options import build_recipe
    from pipelines.extraction.compute_features import compute_features

    settings = build_recipe(data, recipe, backbone=backbone, assignments=set_)
    found = compute_features(
        data,
        settings,
        out=out,
        shard_images=shard_images,
        cluster=cluster,
        insecure=insecure,
    )
    if as_json:
        print_json(found.to_json())
        return
    for finding in found.unusable[:_SHOWN]:
        show(f"without features: {finding.name}: {finding.reason}")
    if (more := len(found.unusable) - _SHOWN) > 0:
        show(f"and {more:,} more")
    show(
        f"{found.images:,} images at {found.place}: {found.computed:,} of {found.shards:,} shards "
        "computed now"
    )
    show(f"zoo train {found.place} --out RUN trains on them")
