"""The commands of `zoo`, each a thin layer over the function of its name.

A command imports what it needs when it runs, so that `--help` and `list` answer at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.choose_command import choose
from pipelines.cli.data_commands import audit, augment
from pipelines.cli.features_command import features
from pipelines.cli.model_commands import average, evaluate, export, predict, report
from pipelines.cli.options import (
    Backbone,
    Cluster,
    Insecure,
    Json,
    OptionalData,
    Out,
    RecipeFile,
    Resume,
    Set,
)
from pipelines.cli.recipe_options import build_recipe, find_started
from pipelines.cli.serve_command import serve
from pipelines.cli.study_command import study
from pipelines.cli.train_recipes import check_recipes, train_recipes

app = typer.Typer(
    name="zoo",
    help="Fine-tune a pretrained CNN on your own images, and export a SavedModel proven to "
    "answer as it did in training.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from pipelines.cli.printing import print_version

        print_version()
        raise typer.Exit


@app.callback()
def zoo(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Show the versions of this program and of what it builds on.",
        ),
    ] = False,
) -> None:
    """Fine-tune a pretrained CNN on your own images, and export a SavedModel."""


@app.command("list")
def list_table(
    table: Annotated[
        str | None,
        typer.Argument(metavar="TABLE", help="The table; by default the names of all tables."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the choices: backbones, weights, optimizers and so on."""
    from pipelines.cli.printing import print_table, print_tables

    if table is None:
        print_tables(as_json=as_json)
    else:
        print_table(table, as_json=as_json)


app.command()(audit)
app.command()(choose)
app.command()(augment)
app.command()(features)


@app.command()
def train(
    out: Out,
    data: OptionalData = None,
    recipe: RecipeFile = None,
    backbone: Backbone = None,
    head: Annotated[
        str | None, typer.Option("--head", metavar="NAME", help="A row of `zoo list heads`.")
    ] = None,
    set_: Set = None,
    resume: Resume = False,
    teacher: Annotated[
        Path | None,
        typer.Option(
            "--teacher",
            metavar="RUN",
            help="Learn the probabilities of this finished run, too: a smaller network from a "
            "larger one.",
        ),
    ] = None,
    unlabeled: Annotated[
        str | None,
        typer.Option(
            "--unlabeled",
            metavar="DATA",
            help="Images to learn from the teacher alone, in any folders.",
        ),
    ] = None,
    recipes: Annotated[
        Path | None,
        typer.Option(
            "--recipes",
            metavar="FOLDER",
            help="Train every .toml file of this folder, each to a run in the folder --out.",
        ),
    ] = None,
    cluster: Cluster = None,
    insecure: Insecure = False,
    find_lr: Annotated[
        bool,
        typer.Option("--find-lr", help="Find a learning rate only: print it, draw it in RUN."),
    ] = False,
) -> None:
    """Train a classifier on a data set."""
    from pipelines.cli.printing import print_run

    if recipes or cluster or insecure:
        single = {"recipe": recipe, "backbone": backbone, "head": head, "find-lr": find_lr}
        check_recipes(recipes, {**single, "teacher": teacher, "unlabeled": unlabeled})
        train_recipes(recipes, data, out, set_, cluster=cluster, insecure=insecure, resume=resume)
        return
    settings = build_recipe(
        data, recipe or find_started(out, resume), backbone=backbone, head=head, assignments=set_
    ).with_teacher(teacher, unlabeled)
    if find_lr:
        from pipelines.training.find_learning_rate import find_learning_rate

        curve = find_learning_rate(data, settings, out=out)
        print(f"optimizer.learning_rate={curve.suggestion:.2g}")
        return
    from pipelines.training.train import train as train_run

    print_run(train_run(data, settings, out=out, resume=resume))


@app.command()
def tune(
    out: Out,
    data: OptionalData = None,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials", metavar="N", min=1, help="Number of trials, at most.  [default: 100]"
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", metavar="E", min=1, help="Epochs of a trial; by default the recipe's."
        ),
    ] = None,
    tuner: Annotated[
        str | None,
        typer.Option(
            "--tuner", metavar="NAME", help="A row of `zoo list tuners`.  [default: random]"
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds",
            metavar="K",
            help="Score by the mean over K stratified folds; 0 scores by the validation split. "
            "By default 5 where that is small and trials train on features.",
        ),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            "--space", metavar="FILE.toml", help="The search space; by default a head's settings."
        ),
    ] = None,
    fine_tune: Annotated[
        bool | None,
        typer.Option(
            "--fine-tune",
            help="Search how many of the backbone's top blocks to fine-tune, too, and how.",
        ),
    ] = None,
    recipe: RecipeFile = None,
    backbone: Backbone = None,
    set_: Set = None,
    retrain_on_val: Annotated[
        bool | None,
        typer.Option(
            "--retrain-on-val/--keep-val",
            help="Whether to train the best recipe on validation images too. By default where "
            "there are folds.",
        ),
    ] = None,
    cluster: Cluster = None,
    insecure: Insecure = False,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Search hyperparameters, and train the best recipe found."""
    from pipelines.cli.printing import print_json, print_run, print_search
    from pipelines.search.tune import tune as tune_run

    base = build_recipe(
        data, recipe or find_started(out / "search", resume), backbone=backbone, assignments=set_
    )
    settings: dict[str, Any] = {
        "trials": trials,
        "epochs": epochs,
        "tuner": tuner,
        "folds": folds,
        "space": space,
        "fine_tune": fine_tune,
        "retrain_on_val": retrain_on_val,
    }
    run = tune_run(
        data, base, out=out, cluster=cluster, insecure=insecure, resume=resume, **settings
    )
    if as_json:
        print_json({**run.search, "metrics": run.record, "run": str(run.path)})
        return
    print_search(run.search)
    print_run(run)


@app.command()
def pretrain(
    out: Out,
    data: OptionalData = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="A row of `zoo list pretraining_methods`; by default the recipe's.",
        ),
    ] = None,
    recipe: RecipeFile = None,
    backbone: Backbone = None,
    set_: Set = None,
    resume: Resume = False,
) -> None:
    """Train a backbone for other runs to start from."""
    from pipelines.cli.printing import show
    from pipelines.pretraining.pretrain import pretrain as pretrain_backbone
    from pipelines.recipe.pretraining import METHODS

    settings = build_recipe(
        data,
        recipe or find_started(out, resume),
        preset=METHODS[method or "supervised"].preset,
        backbone=backbone,
        assignments=set_,
    )
    run = pretrain_backbone(data, settings, out=out, method=method, resume=resume)
    show(run.pretrained_file)


for command in (evaluate, report, predict, average, export, serve, study):
    app.command()(command)
