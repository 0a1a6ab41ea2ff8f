"""The command `zoo study`: claims of deep-learning lectures, rerun."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import Json

if TYPE_CHECKING:
    from pipelines.studies.run import Finding


def study(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A study; --list shows all.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="The folder of the studies' results."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Run all studies.")] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="Print the studies, and run none.")
    ] = False,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=2, help="Repetitions; intervals need them.")
    ] = 5,
    full: Annotated[bool, typer.Option("--full", help="The long version.")] = False,
    as_json: Json = False,
) -> None:
    """Rerun a claim of the lectures: numbers, a figure, and a verdict by a rule written before."""
    from pipelines.cli.printing import print_grid, print_json, show
    from pipelines.studies.catalog import STUDIES
    from pipelines.studies.run import measure_apart
    from pipelines.studies.run import study as run_study
    from zoo.errors import InputError

    if listed:
        if as_json:
            rows = [
                {"name": row.name, "claim": row.summary, "source": row.source}
                for row in STUDIES.values()
            ]
            print_json({"studies": rows})
        else:
            print_grid(["study", "claim"], [[row.name, row.summary] for row in STUDIES.values()])
        return
    if bool(name) == everything:
        raise InputError(
            "which study is not clear",
            expected="NAME or --all",
            received="both" if name else "neither",
            mend="zoo study --list shows all",
        )
    if out is None:
        raise InputError("a study writes its numbers and its figure", expected="--out FOLDER")
    findings = []
    for one in STUDIES if everything else [name or ""]:
        if everything and (status := measure_apart(one, out=out, seeds=seeds, full=full)):
            raise typer.Exit(status)
        findings.append(run_study(one, out=out, seeds=seeds, full=full))
        if not as_json:
            for line in _describe(findings[-1]):
                show(line)
    if as_json:
        print_json({"studies": [finding.to_json() for finding in findings]})


def _describe(finding: Finding) -> list[str]:
    """Returns the lines that tell what a study found."""
    lines = [f"{finding.study.name}: {finding.verdict.value}", f"  {finding.study.summary}"]
    for check in finding.checks:
        lines.append(f"  {'yes' if check.holds else 'no '} {check.rule}: {check.seen}")
    return [*lines, f"  figure: {finding.folder / 'figure.png'}   {finding.seconds:.0f} s"]
