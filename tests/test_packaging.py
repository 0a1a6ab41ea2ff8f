"""Packaging: what a source distribution holds, and which floors the dependencies have."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
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


BUILD = """
import os, sys
os.umask(0o022)
from setuptools.build_meta import build_wheel
build_wheel(sys.argv[1])
"""


@pytest.mark.slow
def test_wheel_holds_what_belongs_and_is_the_same_bytes_twice(root: Path, tmp_path: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    )
    files = [name for name in listed.stdout.split("\0") if name]
    wheels = []
    for order in (1, -1):
        # Another place, another order on disk and other times.
        copy, out = tmp_path / f"copy{order}", tmp_path / f"wheel{order}"
        for name in files[::order]:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, copy / name)
            (copy / name).chmod(0o644)
        out.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", BUILD, str(out)],
            cwd=copy,
            capture_output=True,
            text=True,
            env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "PYTHONPATH": ""},
        )
        assert done.returncode == 0, done.stderr
        (wheel,) = out.glob("*.whl")
        wheels.append(wheel)
    assert wheels[0].name == wheels[1].name
    assert wheels[0].read_bytes() == wheels[1].read_bytes()
    with zipfile.ZipFile(wheels[0]) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    packages = ("pipelines", "transfer_zoo", "tuning", "zoo")
    assert held == {name for name in files if name.split("/")[0] in packages}


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


def test_every_pin_has_a_hash(root: Path) -> None:
    for name in ("constraints.txt", "constraints-kerashub.txt"):
        pins = re.split(r"\n(?=\S)", (root / name).read_text())
        for pin in pins:
            assert re.match(r"[\w.-]+(\[\w+\])?==\S+", pin), pin
            assert "--hash=sha256:" in pin, pin


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
