"""Where a run comes from: recipe, versions, hashes, licenses, and the command that repeats it."""

from __future__ import annotations

import json
import platform
import shlex
import zipfile
from pathlib import Path

from pipelines.inspection.report.measured_run import MeasuredRun
from pipelines.inspection.report.report_data import Provenance
from pipelines.storage.run_folder import RunFolder
from zoo.backbones.catalog import resolve
from zoo.errors import ZooError
from zoo.files import sha256_of
from zoo.installed import installed_version
from zoo.printable import printable
from zoo.reading import read_text

_PACKAGES = ("transfer-zoo", "tensorflow-cpu", "tensorflow", "keras", "numpy", "pillow")


def describe_provenance(measured: MeasuredRun) -> Provenance:
    """Returns where a run comes from; nothing in it depends on the time.

    Args:
        measured: The run on its images.
    """
    run = measured.run
    files = (run.model_file, run.recipe_file, run.path / "images.json")
    versions = [(name, version) for name in _PACKAGES if (version := installed_version(name))]
    if saved := _keras_of(run.model_file):
        versions.append(("keras that saved the model", saved))
    return Provenance(
        _command_of(run),
        # Lines stay lines; all else that a name may hold is made visible.
        "\n".join(printable(line) for line in read_text(run.recipe_file).splitlines()),
        [(title, printable(value)) for title, value in _list_facts(measured)],
        [(file.name, sha256_of(file)) for file in files if file.is_file()],
        [*versions, ("python", platform.python_version())],
        [(title, printable(value)) for title, value in _describe_weights(run)],
    )


def _command_of(run: RunFolder) -> str:
    """Returns the command that makes the run again."""
    if members := run.record.get("members"):
        return f"zoo average {shlex.join(member['run'] for member in members)} --out NEW_RUN"
    return f"zoo train --recipe {shlex.quote(str(run.recipe_file))} --out NEW_RUN"


def _list_facts(measured: MeasuredRun) -> list[tuple[str, str]]:
    run = measured.run
    facts = [("run", str(run.path)), ("data", measured.data)]
    if run.images:
        facts.append(("images", ", ".join(f"{n:,} {name}" for name, n in run.images.items())))
    for member in run.record.get("members", []):
        facts.append(("mean of", f"{member['run']}, {member['backbone']}"))
    if run.device:
        facts.append(("trained on", run.device))
    if "wall_s" in run.timing:
        facts.append(("training took", f"{run.timing['wall_s']:,.1f} s"))
    calibration = run.record.get("calibration", {})
    if "temperature" in calibration:
        facts.append(("temperature", f"{calibration['temperature']:.4g}"))
    if scale := calibration.get("scale"):
        facts.append(("vector scaling", f"{min(scale.values()):.4g} to {max(scale.values()):.4g}"))
    return facts


def _describe_weights(run: RunFolder) -> list[tuple[str, str]]:
    """Returns name, license, training data and digest of the weights that training began with."""
    name = run.recipe.backbone.name
    try:
        _, weights = resolve(name)
    except ZooError:
        return [("backbone", name), ("license", "unknown: its file is not here any more")]
    if weights is None:
        return [("backbone", name), ("license", "none: it started from random weights")]
    rows = [
        ("backbone", name),
        ("license of its weights", weights.license),
        ("their training data", weights.data),
        ("their origin", weights.origin),
    ]
    return [*rows, ("their SHA-256", weights.sha256)] if weights.sha256 else rows


def _keras_of(model_file: Path) -> str:
    """Returns the version of Keras that saved a model; empty if it is not said."""
    try:
        with zipfile.ZipFile(model_file) as archive:
            return str(json.loads(archive.read("metadata.json")).get("keras_version", ""))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return ""
