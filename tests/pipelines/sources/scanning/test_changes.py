"""Changed files are found by their stamps; only files whose stamp says nothing are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.sources.opening.dataset import open_source
from pipelines.sources.scanning.changes import find_changed
from pipelines.sources.source import Examples, join_examples
from tests.support.photographs import Fill


def _scanned(fill: Fill) -> Examples:
    fill("ants", 6)
    source = open_source(str(fill("bees", 6)))
    return join_examples([source.val, source.train])


@pytest.fixture
def num_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    read, indices = Examples.read, []

    def record(self: Examples, index: int) -> bytes:
        indices.append(index)
        return read(self, index)

    monkeypatch.setattr(Examples, "read", record)
    return indices


def test_files_that_were_written_just_before_the_scan_are_read(
    fill: Fill, num_reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.sources.scanning.ledger._UNSETTLED_NS", 10**12)
    examples = _scanned(fill)
    assert find_changed(examples) is None
    assert len(num_reads) == 12
    assert (examples.files or ())[3].write_bytes(b"changed")
    assert find_changed(examples) == 3


@pytest.mark.parametrize("change", ["content", "time", "removed"])
def test_settled_files_are_read_only_if_their_stamp_changed(
    fill: Fill, num_reads: list[int], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr("pipelines.sources.scanning.ledger._UNSETTLED_NS", -(10**10))
    examples = _scanned(fill)
    assert find_changed(examples) is None
    assert not num_reads
    file: Path = (examples.files or ())[3]
    if change == "removed":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes() + b" " * (change == "content"))
    assert find_changed(examples) == (None if change == "time" else 3)
    assert num_reads == [3]


def test_images_without_files_do_not_change(num_reads: list[int]) -> None:
    examples = open_source("digits").val
    num_reads.clear()
    assert find_changed(examples) is None
    assert find_changed(replace(examples, stamps=None)) is None
    assert not num_reads
