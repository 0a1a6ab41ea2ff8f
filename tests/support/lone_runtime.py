"""Environments that have one runtime with what it requires, NumPy and Pillow, and nothing else.

They are folders of links to the files of installed packages, whose versions are those of
constraints.txt. A process finds packages nowhere else: `python -I -S` looks at no site.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_PIN = re.compile(r"^([\w.-]+)==([\w.+-]+)", re.MULTILINE)
_CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"


def build_lone_environment(package: str, folder: Path) -> list[str]:
    """Links a package, NumPy, Pillow and all that these require into a folder.

    Args:
        package: The import name of a runtime.
        folder: A folder to make.

    Returns:
        The names of the distributions, each of a version that constraints.txt pins.
    """
    pins = defaultdict(set)
    for name, version in _PIN.findall(_CONSTRAINTS.read_text(encoding="utf-8")):
        pins[canonicalize_name(name)].add(version)
    folder.mkdir()
    waiting = [*metadata.packages_distributions()[package], "numpy", "pillow"]
    linked: list[str] = []
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in linked:
            continue
        distribution = metadata.distribution(name)
        assert distribution.version in pins[name], f"{name} {distribution.version} is not pinned"
        for file in distribution.files or ():
            if ".." not in file.parts:
                link = folder / file
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(os.path.realpath(distribution.locate_file(file)))
        linked.append(name)
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return linked


def run_alone(
    environment: Path, program: Path, job: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """Runs the program of an export's proof in an environment; returns the arrays it writes.

    Args:
        environment: From `build_lone_environment`.
        program: `gate.py` or `runtime_gate.py`.
        job: What it is to do, but for where it looks for packages.
        folder: A folder to make, for this job.
    """
    folder.mkdir()
    standard = Path(sysconfig.get_path("stdlib"))
    path = [str(environment), str(standard), str(standard / "lib-dynload")]
    predictions = folder / "predictions.npz"
    more = {"path": path, "without": [], "predictions": str(predictions)}
    (folder / "job.json").write_text(json.dumps({**job, **more}), encoding="utf-8")
    command = [sys.executable, "-I", "-S", "-B", str(program), str(folder / "job.json")]
    pipe = subprocess.PIPE
    # The program ends when its standard input does.
    with subprocess.Popen(command, stdin=pipe, stderr=pipe, text=True) as process:
        assert process.stderr
        said = process.stderr.read()
        assert process.wait() == 0, said
    with np.load(predictions) as arrays:
        return {name: arrays[name] for name in arrays.files}
