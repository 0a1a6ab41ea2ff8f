"""Catalog of data sets: which row of SOURCES matches DATA."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.sources.listing.catalog import SOURCES, SourceKind, kind_of, preset_of
from pipelines.sources.opening.dataset import open_source
from tests.support.photographs import Fill
from zoo.errors import (
    DataError,
)


def test_catalog_imports_neither_tensorflow_nor_tfds() -> None:
    code = (
        "import sys, pipelines.sources, pipelines.inspection.audit;"
        "print([m for m in ('tensorflow', 'tensorflow_datasets', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_kind_of_prefers_an_embedded_name_to_a_folder(
    fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("ants", 2).rename(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert kind_of("digits").name == "digits"
    assert kind_of("./digits").name == "folder"


@pytest.mark.parametrize(
    ("data", "preset"),
    [
        ("textures", "textures"),
        ("tfds:textures", "textures"),
        ("digits", "digits"),
        ("signs", "photo"),
        ("tfds:mnist", "photo"),
        ("nowhere/", "photo"),
    ],
)
def test_preset_of_reads_nothing(data: str, preset: str) -> None:
    assert preset_of(data) == preset


@pytest.mark.parametrize("kind", SOURCES.values(), ids=SOURCES)
def test_every_kind_has_a_summary_and_matches_no_missing_path(kind: SourceKind) -> None:
    assert kind.summary
    assert not kind.matches("no/such/thing")


def test_unknown_data_suggests_the_nearest_embedded_name() -> None:
    with pytest.raises(DataError, match=r"no data set 'texturs'.*did you mean 'textures'\?$"):
        open_source("texturs")
    with pytest.raises(DataError, match=r"no data set 'no/such'; expected a folder, a \.csv"):
        open_source("no/such")


def test_archive_is_refused_with_advice_to_unpack_it(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="unpack it first"):
        open_source(str(tmp_path / "a.zip"))
