"""Packaging: what a source distribution holds, and which floors the dependencies have."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest


@pytest.mark.train
def test_sdist_holds_packages_and_what_builds_them(root: Path, tmp_path: Path) -> None:
    command = "from setuptools import setup; setup()"
    done = subprocess.run(
        [sys.executable, "-c", command, "-q", "egg_info", "--egg-base", str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (listing,) = tmp_path.glob("*.egg-info/SOURCES.txt")
    files = [line for line in listing.read_text().splitlines() if "egg-info" not in line]
    top = {Path(file).parts[0] for file in files}
    packages = {"pipelines", "transfer_zoo", "tuning", "zoo"}
    assert top == packages | {"LICENSE", "MANIFEST.in", "NOTICE", "README.md", "pyproject.toml"}
    assert {"zoo/pretrained", "pipelines/sources/signs"} <= {str(Path(f).parent) for f in files}


def test_every_dependency_has_a_floor_that_the_lock_meets(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    locked = dict(
        re.findall(r"^([a-z0-9-]+)==([\w.]+)", (root / "constraints.txt").read_text(), re.M)
    )
    for requirement in project["dependencies"]:
        name, floor = re.match(r"([\w-]+)>=([\w.]+)", requirement).groups()  # type: ignore[union-attr]
        version = locked[name.lower().replace("_", "-")]
        assert _numbers(version) >= _numbers(floor), requirement
        assert name != "keras" or _numbers(floor) >= (3, 15, 1), "3.15.0 misreads damaged files"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
