"""Scan of a listing: images that do not decode are left out, named and limited."""

from __future__ import annotations

import os

import numpy as np
import pytest

from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.opening.describe import describe
from tests.support.photographs import Fill, encode, photo
from zoo.errors import UndecodableError

TRUNCATED = encode(photo(1))[:-300]


def test_undecodable_files_are_left_out_and_named(fill: Fill) -> None:
    fill("ants", 29, cut__jpg=TRUNCATED)
    fill("bees", 28, notes__txt=b"remember the honey", none__png=b"")
    source = open_source(str(fill(".")))
    assert describe(source) == [
        "skipped ants/cut.jpg: cut off",
        "skipped bees/none.png: empty file",
        "skipped bees/notes.txt: not an image (starts with 'remember the hon')",
    ]
    assert sum(len(part) for part in source.splits.values()) == 57


def test_scan_records_the_shapes_of_images(fill: Fill) -> None:
    fill("ants", 3, wide__png=encode(photo(1, (50, 20)), "PNG"), bad__jpg=b"")
    fill("bees", 3, tall__jpg=encode(photo(1, (20, 50))))
    source = open_source(str(fill(".")), DataConfig(max_undecodable=0.5))
    shapes = {}
    for part in source.splits.values():
        assert part.shapes is not None
        assert part.shapes.dtype == np.int64
        assert part.shapes.shape == (len(part), 2)
        shapes |= dict(zip(part.names, part.shapes.tolist(), strict=True))
    assert shapes.pop("ants/wide.png") == [20, 50]
    assert shapes.pop("bees/tall.jpg") == [50, 20]
    assert list(shapes.values()) == [[10, 12]] * 6


@pytest.mark.parametrize(("limit", "bad", "good"), [(0.05, 1, 19), (0.1, 2, 18), (0.29, 29, 71)])
def test_undecodable_at_the_limit_passes_and_one_more_stops(
    fill: Fill, limit: float, bad: int, good: int
) -> None:
    fill("ants", good - 4, **{f"bad{i}__jpg": b"" for i in range(bad)})
    root = fill("bees", 4)
    assert len(open_source(str(root), DataConfig(max_undecodable=limit)).skipped) == bad
    fill("ants", 0, one_more__jpg=b"")
    message = rf"^{bad + 1} of {good + bad + 1} files .* at most {limit} .*\(empty file\).*; mend"
    with pytest.raises(UndecodableError, match=message):
        open_source(str(root), DataConfig(max_undecodable=limit))


def test_files_of_another_type_can_be_excluded_as_advised(fill: Fill) -> None:
    fill("ants", 4, **{f"{i}__xml": b"<annotation>" for i in range(4)})
    root = fill("bees", 4)
    with pytest.raises(
        UndecodableError, match=r"leave them out with --set 'data.exclude=\[\"\*\.xml"
    ):
        open_source(str(root))
    assert not open_source(str(root), DataConfig(exclude=("*.xml",))).skipped


def test_damaged_files_can_be_kept_as_advised(fill: Fill) -> None:
    fill("ants", 4, half__jpg=encode(photo(1, (320, 240)))[:20_000], other__jpg=TRUNCATED)
    root = fill("bees", 4)
    with pytest.raises(UndecodableError, match=r"half\.jpg \(cut off\).*--set data\.damaged=keep$"):
        open_source(str(root))
    assert not open_source(str(root), DataConfig(damaged="keep")).skipped


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes")
def test_pipe_is_skipped_without_blocking(fill: Fill) -> None:
    fill("ants", 30)
    root = fill("bees", 30)
    os.mkfifo(root / "bees" / "pipe.jpg")
    assert open_source(str(root)).skipped[0].reason == "not a file"
