"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DATA_HELP = (
    "A folder of class folders or a .csv or .tsv file, here or at an address (s3://…); what `zoo "
    "features` wrote; tfds:NAME[:CONFIG]; or an embedded set: signs, textures, digits."
)

Data = Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP, show_default=False)]
OptionalData = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        help=f"{DATA_HELP[:-1]}; by default the recipe's data.source.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="RUN", help="The run folder to write.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
RecipeFile = Annotated[
    Path | None,
    typer.Option(
        "--recipe", metavar="FILE.toml", help="A recipe file, instead of the preset for DATA."
    ),
]
Backbone = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        metavar="NAME",
        help="A row of `zoo list weights` or `zoo list backbones`, a pretrained.npz file, or "
        "kerashub:FOLDER, a preset of KerasHub.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Override a recipe setting, such as head.dropout=0.3; may be repeated.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Resume the job in RUN, or go on with more epochs or trials."),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="CLUSTER",
        help="Run tasks in processes of this machine: local, one for each core, or local:N; or "
        "on a cluster of Ray: auto on one of its machines, or HOST:PORT.",
    ),
]
Insecure = Annotated[
    bool,
    typer.Option("--insecure", help="Use a cluster that runs what anybody sends."),
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Run a SavedModel that somebody else exported: it is a program."),
]
Verify = Annotated[
    Path | None,
    typer.Option(
        "--verify",
        metavar="KEY.pub",
        help="Refuse a SavedModel that the owner of this public key has not signed.",
    ),
]
