"""Where images come from: every kind of data set is brought to one form, `Source`.

To add a kind: write its reader, which returns a `Listing`, and add a row to
SOURCES in `catalogue.py`. Decoding, checking and dividing are common to all.
"""

from pipelines.sources.catalogue import (
    SOURCES,
    SourceKind,
    describe,
    kind_of,
    open_source,
    preset_of,
)
from pipelines.sources.labelled import Labelled, open_labelled
from pipelines.sources.options import DataConfig
from pipelines.sources.source import Examples, Listing, Remark, Source

__all__ = [
    "SOURCES",
    "DataConfig",
    "Examples",
    "Labelled",
    "Listing",
    "Remark",
    "Source",
    "SourceKind",
    "describe",
    "kind_of",
    "open_labelled",
    "open_source",
    "preset_of",
]
