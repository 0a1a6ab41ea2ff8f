"""The commands of `zoo`: a thin layer over the functions of this package.

TensorFlow is imported inside the commands that need it, so that `--help` and
`list` answer at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

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

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder of class folders, a .csv, tfds:NAME[:CONFIG], textures or digits.",
        show_default=False,
    ),
]
OptionalData = Annotated[
    str,
    typer.Argument(
        metavar="[DATA]",
        help="A folder of class folders, a .csv, tfds:NAME[:CONFIG], textures or digits; "
        "left out, the recipe's.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="RUN", help="The directory to write.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A directory `zoo train` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
RecipeFile = Annotated[
    Path | None, typer.Option("--recipe", metavar="FILE.toml", help="A recipe to start from.")
]
Backbone = Annotated[
    str, typer.Option("--backbone", metavar="NAME", help="See `zoo list backbones`.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="A setting, such as head.dropout=0.3."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where it stopped.")]


@app.command("list")
def list_table(
    table: Annotated[str, typer.Argument(help="Which table; left out, which there are.")] = "",
    as_json: Json = False,
) -> None:
    """Show what there is to choose from."""
    from pipelines.cli.printing import print_table, print_tables

    if table:
        print_table(table, as_json=as_json)
    else:
        print_tables(as_json=as_json)


@app.command()
def audit(data: Data, recipe: RecipeFile = None, set_: Set = None, as_json: Json = False) -> None:
    """Say what is wrong with a data set; changes nothing. Exits with 1 if anything is."""
    from pipelines.cli.printing import print_json
    from pipelines.inspection.audit import audit as audit_data
    from pipelines.runtime.stderr import suppress_stderr

    settings = _recipe(data, recipe, "", set_)
    with suppress_stderr():
        import tensorflow  # noqa: F401
    found = audit_data(data, settings.data, settings.asked_tasks)
    if as_json:
        print_json(found.to_json())
    else:
        print("\n".join(found.lines()))
    if not found.clean:
        raise typer.Exit(1)


@app.command()
def augment(
    data: Data,
    preview: Annotated[
        Path, typer.Option("--preview", metavar="FILE.png", help="The picture to draw.")
    ],
    recipe: RecipeFile = None,
    set_: Set = None,
) -> None:
    """Draw what augmentation makes of a data set's images; see `zoo list policies`."""
    from pipelines.training.preview import preview as draw_preview

    print(draw_preview(data, _recipe(data, recipe, "", set_), picture=preview))


@app.command()
def train(
    out: Out,
    data: OptionalData = "",
    recipe: RecipeFile = None,
    backbone: Backbone = "",
    head: Annotated[
        str, typer.Option("--head", metavar="NAME", help="linear, classic or modern.")
    ] = "",
    set_: Set = None,
    resume: Resume = False,
    find_lr: Annotated[
        bool,
        typer.Option("--find-lr", help="Only find a learning rate: print and draw it, in RUN."),
    ] = False,
) -> None:
    """Train a classifier on a data set."""
    from pipelines.cli.printing import print_run
    from pipelines.training.find_learning_rate import find_learning_rate
    from pipelines.training.train import train as train_run

    settings = _recipe(data, recipe or _started(out, resume), backbone, set_, head=head)
    if find_lr:
        print(
            f"optimizer.learning_rate={find_learning_rate(data, settings, out=out).suggestion:.2g}"
        )
        return
    run = train_run(data, settings, out=out, resume=resume)
    print_run(run)


@app.command()
def tune(
    out: Out,
    data: OptionalData = "",
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="How many, at most.  [default: 100]")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Of a trial; left out, the recipe's.")
    ] = None,
    tuner: Annotated[
        str | None, typer.Option("--tuner", help="See `zoo list tuners`.  [default: random]")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option("--folds", metavar="K", help="Score by the mean over K stratified folds."),
    ] = None,
    space: Annotated[
        Path | None, typer.Option("--space", metavar="FILE.toml", help="What is searched.")
    ] = None,
    recipe: RecipeFile = None,
    backbone: Backbone = "",
    set_: Set = None,
    retrain_on_val: Annotated[
        bool, typer.Option("--retrain-on-val", help="Train the best on validation images too.")
    ] = False,
    workers: Annotated[
        int,
        typer.Option("--workers", metavar="N", min=0, help="Train trials in N more processes."),
    ] = 0,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Search settings of a head, and train the best.

    On several machines give this command to each, with KerasTuner's variables
    KERASTUNER_TUNER_ID (`chief` on one, other names on the others), KERASTUNER_ORACLE_IP
    and KERASTUNER_ORACLE_PORT (where the chief listens). Whoever reaches that port can
    take trials and tell results: there is no password, so keep it inside a network you trust.
    """
    from pipelines.cli.printing import print_json, print_run, print_search
    from pipelines.search.roles import role
    from pipelines.search.tune import tune as tune_run
    from pipelines.search.work import work

    begun = out / "search" / "recipe.toml"
    known = begun if resume and begun.is_file() else None
    start = _recipe(data, recipe or known, backbone, set_)
    settings: dict[str, Any] = {
        "trials": trials,
        "epochs": epochs,
        "tuner": tuner,
        "folds": folds,
        "space": space,
        "retrain_on_val": retrain_on_val or None,
    }
    if (me := role()) and not me.is_chief:
        count = work(me, data, start, out=out, resume=resume, **settings)
        print(f"{me.name}: {count} trials")
        return
    run = tune_run(data, start, out=out, workers=workers, resume=resume, **settings)
    if as_json:
        print_json({**run.search, "metrics": run.metrics, "run": str(run.path)})
        return
    print_search(run.search)
    print_run(run)


@app.command()
def pretrain(
    out: Out,
    data: OptionalData = "",
    method: Annotated[
        str,
        typer.Option("--method", help="supervised, autoencoder or rbm; left out, the recipe's."),
    ] = "",
    recipe: RecipeFile = None,
    backbone: Backbone = "",
    set_: Set = None,
    resume: Resume = False,
) -> None:
    """Train a backbone from scratch, for others to start from."""
    from pipelines.pretraining.pretrain import pretrain as pretrain_backbone
    from pipelines.recipe.pretraining import METHODS

    file = recipe or _started(out, resume)
    settings = _recipe(
        data,
        file,
        backbone,
        [*([f"pretraining.method={METHODS[method].name}"] if method else []), *(set_ or [])],
        preset=METHODS[method or "supervised"].preset,
    )
    print(pretrain_backbone(data, settings, out=out, resume=resume))


@app.command()
def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A run, or a network by name or file.")
    ],
    data: Data,
    as_json: Json = False,
    split: Annotated[
        str, typer.Option("--split", help="train, val, test or all; left out, each there is.")
    ] = "",
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.png", help="Draw images with their answers."),
    ] = None,
) -> None:
    """Measure a model on labeled images."""
    from pipelines.cli.printing import print_evaluation, print_json
    from pipelines.evaluation.evaluate import evaluate as evaluate_model

    measured = evaluate_model(model, data, split=split, picture=picture or "")
    if as_json:
        print_json(measured)
    else:
        print_evaluation(measured)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run or a SavedModel.")],
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Image files.")],
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to name.")] = 5,
    as_json: Json = False,
) -> None:
    """Classify images."""
    from pipelines.cli.printing import print_json
    from pipelines.serving.predict import predict as predict_images

    predictions = predict_images(model, images, top=top)
    if as_json:
        print_json({"predictions": [prediction.to_json() for prediction in predictions]})
    for prediction in predictions:
        if prediction.error:
            print(f"skipped {prediction.image}: {prediction.error}", file=sys.stderr)
        elif not as_json:
            print(prediction)
    if any(prediction.error for prediction in predictions):
        raise typer.Exit(1)


@app.command()
def export(
    run: RunFolder,
    to: Annotated[
        Path, typer.Option("--to", metavar="saved_models/NAME", help="The model's folder.")
    ],
    data: Annotated[
        str, typer.Option("--data", metavar="DATA", help="Where the run's images are now.")
    ] = "",
) -> None:
    """Write a run as a SavedModel and prove it in a fresh process."""
    from pipelines.serving.export import export as export_run

    print(export_run(run, to, data=data))


def _started(out: Path, resume: bool) -> Path | None:
    """Returns the recipe file of the run to resume; it need not be given again."""
    file = out / "recipe.toml"
    return file if resume and file.is_file() else None


def _recipe(
    data: str,
    file: Path | None,
    backbone: str,
    assignments: list[str] | None,
    preset: str | None = None,
    head: str = "",
) -> Any:
    from pipelines.recipe.overrides import parse_overrides
    from pipelines.recipe.recipe import Recipe

    return Recipe.for_data(
        data or None,
        file=file,
        preset=preset,
        backbone=backbone or None,
        head=head or None,
        settings=parse_overrides(assignments or []),
    )
