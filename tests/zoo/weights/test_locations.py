"""Locations of weight files: package, folder, mirror and URL, in order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.weights_server import (
    GOOD,
    OTHER,
    Answer,
    Site,
    row,
    sha256,
    unproven,
)
from zoo.errors import WeightsError
from zoo.weights.fetch import fetch


def test_folder_with_the_file_comes_first(site: Site, folder: Path, cache: Path) -> None:
    (folder / "net.h5").write_bytes(GOOD)
    assert fetch(row(site.url)) == folder / "net.h5"
    assert site.log == []
    assert not cache.exists()  # with a known digest, nothing is recorded


def test_folder_with_a_wrong_file_is_an_error_and_stays_unchanged(site: Site, folder: Path) -> None:
    given = folder / "net.h5"
    given.write_bytes(OTHER)
    os.utime(given, (1_000_000_000, 1_000_000_000))
    pattern = rf"net\.h5 is not the file of net\.set; expected SHA-256 {sha256(GOOD)}; received"
    with pytest.raises(WeightsError, match=pattern):
        fetch(row(site.url))
    assert given.read_bytes() == OTHER
    assert given.stat().st_mtime == 1_000_000_000
    assert os.listdir(folder) == ["net.h5"]
    assert site.log == []


def test_folder_without_the_file_is_skipped(site: Site, folder: Path, cache: Path) -> None:
    assert cache in fetch(row(site.url)).parents
    site.serve(Answer(status=404))
    with pytest.raises(WeightsError, match=r"put it into .*by hand, which ZOO_WEIGHTS names"):
        fetch(row(site.url, sha256=sha256(OTHER)))


def test_location_that_is_neither_folder_nor_url_is_rejected(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_WEIGHTS", "no/such/folder")
    with pytest.raises(
        WeightsError, match=r"ZOO_WEIGHTS is neither a folder nor a URL; .*'no/such/folder'"
    ):
        fetch(row(site.url))


@pytest.mark.parametrize("slash", ["", "/"])
def test_mirror_comes_before_the_url(
    site: Site, monkeypatch: pytest.MonkeyPatch, slash: str
) -> None:
    monkeypatch.setenv("ZOO_WEIGHTS", f"{site.url}/mirror{slash}")
    weights = row("http://nowhere.invalid", file="net 1.h5")
    assert fetch(weights).read_bytes() == GOOD
    assert [request["path"] for request in site.log] == ["/mirror/net%201.h5"]
    assert fetch(weights).read_bytes() == GOOD  # from the cache
    assert len(site.log) == 1


def test_mirror_without_the_file_is_skipped(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_WEIGHTS", f"{site.url}/mirror")
    site.serve(Answer(status=404), Answer())
    assert fetch(row(site.url)).read_bytes() == GOOD
    assert [request["path"] for request in site.log] == ["/mirror/net.h5", "/v1/net.h5"]
    site.serve(Answer(status=404), Answer(status=410))
    both = r"/mirror/net\.h5: HTTP 404 Not Found and http\S+/v1/net\.h5: HTTP 410 Gone"
    with pytest.raises(WeightsError, match=both):
        fetch(row(site.url, sha256=sha256(OTHER)))


def test_mirror_with_a_wrong_file_is_an_error(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_WEIGHTS", f"{site.url}/mirror")
    site.serve(Answer(body=OTHER), Answer())
    with pytest.raises(WeightsError, match=r"/mirror/net\.h5 is not the file of net\.set"):
        fetch(row(site.url))
    assert len(site.log) == 1


def test_shipped_file_is_verified_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    # A temporary package: a test must not write into the real one.
    package = tmp_path / "zoo"
    (package / "pretrained").mkdir(parents=True)
    monkeypatch.setattr("zoo.weights.fetch.SHIPPED_FOLDER", package / "pretrained")
    weights = row("", url="net.h5")
    with pytest.raises(WeightsError, match=r"missing; .*net\.h5; install transfer-zoo again"):
        fetch(weights)
    shipped = package / "pretrained" / "net.h5"
    shipped.write_bytes(GOOD)
    assert fetch(weights) == shipped
    shipped.write_bytes(OTHER)
    with pytest.raises(WeightsError, match=r"is not the file of .*install transfer-zoo again"):
        fetch(weights)
    assert shipped.read_bytes() == OTHER
    assert not cache.exists()


def test_rows_of_one_file_name_are_cached_apart(site: Site) -> None:
    first = fetch(row(site.url))
    site.serve(Answer(body=OTHER))
    second = fetch(row(site.url, sha256=sha256(OTHER)))
    third = fetch(unproven(f"{site.url}/v2"))
    assert len({first, second, third}) == 3
    assert [p.read_bytes() for p in (first, second, third)] == [GOOD, OTHER, OTHER]


@pytest.mark.parametrize(
    "wrong",
    [
        {"sha256": "abc"},
        {"sha256": "A" * 64},
        {"md5": "abc"},
        {"file": "../net.h5"},
        {"file": ""},
        {"url": "net.h5", "sha256": ""},
    ],
    ids=str,
)
def test_row_without_valid_digest_or_file_name_is_rejected(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^net\.set: "):
        row("http://host", **wrong)
