"""`zoo train --recipes`: a run for each recipe of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer

from zoo.errors import InputError


def check_recipes(recipes: Path | None, single: Mapping[str, object]) -> None:
    """Checks the options of `zoo train` that go with `--recipes` alone, and those that do not.

    Args:
        recipes: The folder.
        single: Options that say what a single run trains, by name; empty where not given.

    Raises:
        InputError: They do not go together.
    """
    if recipes is None:
        raise InputError(
            "one training is one task, which no cluster makes faster",
            expected="--cluster with --recipes, for many of them",
            mend="leave --cluster out, or give --recipes FOLDER",
        )
    if others := [f"--{name}" for name, value in single.items() if value]:
        raise InputError(
            f"{' and '.join(others)} is for a single recipe",
            expected="--recipes with --set alone",
            received=" ".join(others),
            mend="say it in the recipes, or by --set PATH=VALUE for all of them",
        )


def train_recipes(
    recipes: Path | None,
    data: str | None,
    out: Path,
    assignments: list[str] | None,
    *,
    cluster: str | None,
    insecure: bool,
    resume: bool,
) -> None:
    """Trains the recipes of a folder and prints a line for each; exits with 1 if any failed.

    Args:
        recipes: The folder.
        data: DATA for all; None takes each recipe's.
        out: The folder of the runs.
        assignments: Of `--set`.
        cluster: Of `--cluster`.
        insecure: Of `--insecure`.
        resume: Of `--resume`.
    """
    from pipelines.cli.printing import print_grid, show, summarize_split
    from pipelines.recipe.overrides import parse_overrides
    from pipelines.training.train_all import train_all

    runs = train_all(
        recipes or Path(),
        data,
        out=out,
        settings=parse_overrides(assignments or []),
        cluster=cluster,
        insecure=insecure,
        resume=resume,
    )
    rows = []
    for run in runs:
        if run.metrics is None:
            rows.append([run.name, "failed", run.failure])
            continue
        split = "test" if "test" in run.metrics else "val"
        summary = summarize_split(run.metrics[split]) if split in run.metrics else ["trained"]
        rows.extend([run.name, split, line] for line in summary)
    print_grid(["recipe", "images", "result"], rows)
    show(f"runs: {out}")
    if any(run.failure for run in runs):
        raise typer.Exit(1)
