"""Log lines about skipped images and outliers."""

from __future__ import annotations

from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.opening.describe import describe
from tests.support.photographs import Fill


def test_describe_names_twenty_and_counts_the_rest(fill: Fill) -> None:
    fill("ants", 3, **{f"{i:02d}__jpg": b"" for i in range(25)})
    lines = describe(open_source(str(fill("bees", 3)), DataConfig(max_undecodable=0.9)))
    assert len(lines) == 21
    assert lines[-1] == "skipped 5 more; `zoo audit` lists all"
