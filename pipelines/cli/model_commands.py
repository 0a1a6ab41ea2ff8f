"""The commands of `zoo` that take a MODEL or a RUN: measure it, show it, predict, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import Data, Json, Out, Trust, Verify
from zoo.printable import printable


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A run, an ONNX, OpenVINO or LiteRT export, or a pretrained network with a top.",
        ),
    ],
    data: Data,
    as_json: Json = False,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="NAME",
            help="train, val, test or all; by default every split there is.",
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.png", help="Draw images with their predictions."),
    ] = None,
    foreign: Annotated[
        str | None,
        typer.Option(
            "--foreign",
            metavar="FOLDER",
            help="Images of none of the classes: how many of them count as unknown.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="How to read DATA, such as data.suffix=.jpg; may be repeated.",
        ),
    ] = None,
) -> None:
    """Measure a model on labeled images."""
    from pipelines.cli.printing import print_evaluation, print_json
    from pipelines.evaluation.evaluate import evaluate as evaluate_model
    from pipelines.recipe.overrides import parse_overrides

    settings = parse_overrides(set_ or [])
    measured = evaluate_model(
        model, data, split=split, picture=picture, settings=settings, foreign=foreign
    )
    if as_json:
        print_json(measured)
    else:
        print_evaluation(measured)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.", show_default=False)],
    other: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN2]", help="Another run, to compare on the same images.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE.html",
            help="The file to write; by default report.html in RUN, or comparison.html of two.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="DATA", help="The images, if not the run's own."),
    ] = None,
) -> None:
    """Write a report of a run, or of two runs on the same images: one HTML file."""
    from pipelines.cli.printing import show
    from pipelines.inspection.report.report import report as report_run

    show(report_run(run, other, data=data, out=out))


def predict(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A run, an exported model, or a network by name.")
    ],
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE|FOLDER", help="Image files, folders or glob patterns."),
    ],
    top: Annotated[
        int, typer.Option("--top", metavar="K", min=1, help="Classes to show for each image.")
    ] = 5,
    trust: Trust = False,
    verify: Verify = None,
    as_json: Json = False,
) -> None:
    """Classify images; exit with 1 if a file cannot be decoded."""
    from pipelines.cli.printing import print_json, show
    from pipelines.serving.predict import predict as predict_images

    predictions = predict_images(model, images, top=top, trust=trust, verify=verify)
    if as_json:
        print_json({"predictions": [prediction.to_json() for prediction in predictions]})
    for prediction in predictions:
        if prediction.error:
            print(printable(f"skipped {prediction.image}: {prediction.error}"), file=sys.stderr)
        elif not as_json:
            show(prediction)
    if any(prediction.error for prediction in predictions):
        raise typer.Exit(1)


def average(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN…", help="Finished runs of the same classes.")
    ],
    out: Out,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="DATA", help="The images, if not those of the first run."),
    ] = None,
) -> None:
    """Make one run of several; its answers are the mean of theirs."""
    from pipelines.cli.printing import print_run
    from pipelines.training.average import average as average_runs

    print_run(average_runs(runs, out=out, data=data))


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run, or a network by name.")],
    to: Annotated[
        Path,
        typer.Option(
            "--to", metavar="saved_models/NAME", help="The model's folder, for a new version."
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="DATA", help="The images to check on, if not its own."),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(
            "--sign",
            metavar="KEY.pem",
            help="Sign it with this private key, for `zoo predict --verify` of others.",
        ),
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", metavar="NAME", help="A row of `zoo list formats`, or all.")
    ] = "savedmodel",
    quantize: Annotated[
        str,
        typer.Option(
            "--quantize", metavar="NAME", help="A smaller file: none, float16, or int8 of a run."
        ),
    ] = "none",
    max_drop: Annotated[
        float,
        typer.Option(
            "--max-drop", metavar="POINTS", min=0, help="Points of accuracy that int8 may lose."
        ),
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Write a model for TensorFlow or another runtime, and prove it in a fresh process.

    With --format all, every format and quantization is written, each below --to, and a table has
    their sizes, speeds and accuracies.
    """
    from pipelines.cli.printing import print_exports, print_json, show
    from pipelines.serving.export import export as export_model
    from pipelines.serving.export_all import ALL, export_all

    if format_ == ALL:
        rows = export_all(model, to, data=data, sign=sign, max_drop=max_drop)
        if as_json:
            print_json(rows)
        else:
            print_exports(rows)
        if any(row["error"] for row in rows):
            raise typer.Exit(1)
        return
    version = export_model(
        model, to, data=data, sign=sign, format=format_, quantize=quantize, max_drop=max_drop
    )
    if as_json:
        print_json({"version": str(version)})
    else:
        show(version)
