"""The weights cache: damaged files, and first-fetch records of rows without SHA-256."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.support.weights_server import (
    GOOD,
    OTHER,
    Answer,
    Site,
    cached_files,
    row,
    sha256,
    unproven,
)
from zoo.errors import WeightsError
from zoo.weights.fetch import fetch


def test_damaged_copy_is_replaced_by_a_verified_one(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch(row(site.url))
    path.write_bytes(GOOD[:-1])
    site.serve(Answer(status=404))
    with pytest.raises(WeightsError, match="HTTP 404"):
        fetch(row(site.url))
    assert path.read_bytes() == GOOD[:-1]  # kept for inspection
    assert f"{path} is damaged" in capsys.readouterr().err
    site.serve(Answer())
    assert fetch(row(site.url)).read_bytes() == GOOD


def test_first_fetch_is_recorded_and_verifies_later_ones(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights = unproven(site.url)
    path = fetch(weights)
    (record,) = path.parent.glob("*.first.json")
    assert json.loads(record.read_text())["sha256"] == sha256(GOOD)
    assert fetch(weights) == path
    assert len(site.log) == 1

    path.unlink()
    site.serve(Answer(body=OTHER))
    pattern = f"SHA-256 {sha256(GOOD)} of the first fetch.*received {sha256(OTHER)}.*remove that"
    with pytest.raises(WeightsError, match=pattern):
        fetch(weights)

    (tmp_path / "net.h5").write_bytes(OTHER)
    monkeypatch.setenv("ZOO_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match=pattern):
        fetch(weights)
    (tmp_path / "net.h5").write_bytes(GOOD)
    assert fetch(weights) == tmp_path / "net.h5"


def test_first_file_may_come_from_the_folder(site: Site, folder: Path) -> None:
    (folder / "net.h5").write_bytes(GOOD)
    assert fetch(unproven(site.url)) == folder / "net.h5"
    (folder / "net.h5").unlink()
    site.serve(Answer(body=OTHER))
    with pytest.raises(WeightsError, match=f"SHA-256 {sha256(GOOD)} of the first fetch"):
        fetch(unproven(site.url))


def test_md5_verifies_the_first_fetch(site: Site, cache: Path) -> None:
    md5 = hashlib.md5(GOOD, usedforsecurity=False).hexdigest()
    site.serve(Answer(body=OTHER))
    with pytest.raises(WeightsError, match=f"expected MD5 {md5}; received "):
        fetch(unproven(site.url, md5=md5))
    assert cached_files(cache) == {"lock"}
    site.serve(Answer())
    path = fetch(unproven(site.url, md5=md5))
    (record,) = path.parent.glob("*.first.json")
    assert json.loads(record.read_text())["sha256"] == sha256(GOOD)


def test_cached_file_without_its_record_is_downloaded_again(site: Site) -> None:
    path = fetch(unproven(site.url))
    (record,) = path.parent.glob("*.first.json")
    record.unlink()
    site.serve(Answer(body=OTHER))
    assert fetch(unproven(site.url)).read_bytes() == OTHER


def test_link_in_the_cache_is_no_verified_file(site: Site, tmp_path: Path) -> None:
    path = fetch(row(site.url))
    path.rename(tmp_path / "swapped.h5")
    path.symlink_to(tmp_path / "swapped.h5")
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert not path.is_symlink()
    assert len(site.log) == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": ""}', "[" * 9000])
def test_damaged_record_is_an_error(site: Site, text: str) -> None:
    path = fetch(unproven(site.url))
    (record,) = path.parent.glob("*.first.json")
    record.write_text(text)
    with pytest.raises(WeightsError, match=r"first\.json cannot be read; .*; remove it"):
        fetch(unproven(site.url))
