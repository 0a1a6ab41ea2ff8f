"""Results of examining many images, as one array instead of a record for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.sources.columns import Column, Digests, Texts
from pipelines.sources.examining.examination import ImageScan

if TYPE_CHECKING:
    import numpy.typing as npt

_FIELDS = [f for f in dataclasses.fields(ImageScan) if f.name not in ("name", "sha256")]
TEXT_FIELDS = [f.name for f in _FIELDS if f.type == "str"]
"""The fields of an `ImageScan` that hold texts."""

_TYPES = {"int": "<i4", "bool": "?", "str": "<u4"}

ROW = np.dtype(
    [("sha256", "u1", 32), ("stamp", "<u8"), *((f.name, _TYPES[str(f.type)]) for f in _FIELDS)]
)
"""What a row holds of an `ImageScan`: its digest, zeros if it has none; the stamp of the file as
it was then, see `ledger.stamp_files`; its numbers; and the positions of its texts among those of
the table."""


class TextCodes:
    """Numbers texts in the order in which they are first seen; the empty text is 0."""

    def __init__(self) -> None:
        self._codes = {"": 0}

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts by number."""
        return tuple(self._codes)

    def code(self, text: str) -> int:
        """Returns the number of a text."""
        return self._codes.setdefault(text, len(self._codes))

    def recode(self, rows: npt.NDArray[Any], texts: Sequence[str]) -> None:
        """Renumbers the texts of rows in place.

        Args:
            rows: ROW, or a structure with its text fields.
            texts: The texts that the numbers in the rows stand for.
        """
        codes = np.array([self.code(text) for text in texts], np.uint32)
        for field in TEXT_FIELDS:
            rows[field] = codes[rows[field]]


def fit_texts(rows: npt.NDArray[Any], texts: Sequence[str]) -> bool:
    """Returns whether every number of a text in the rows stands for one of these.

    Args:
        rows: ROW [N].
        texts: The texts.
    """
    return all((rows[field] < len(texts)).all() for field in TEXT_FIELDS)


def used_texts(
    rows: npt.NDArray[Any], texts: Sequence[str]
) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Returns a copy of rows whose texts are numbered among those that they use.

    Args:
        rows: ROW [N].
        texts: The texts that the numbers in the rows stand for.
    """
    used = np.unique(np.concatenate([rows[field] for field in TEXT_FIELDS]))
    renumbered = rows.copy()
    for field in TEXT_FIELDS:
        renumbered[field] = np.searchsorted(used, rows[field])
    return renumbered, tuple(texts[code] for code in used)


class ScanTable(Column[ImageScan]):
    """The results for N images; a sequence of `ImageScan`, of 74 bytes each.

    Args:
        names: Names of the images as in `Examples.names`.
        rows: ROW [N].
        texts: What the text fields of the rows index.
    """

    def __init__(
        self, names: Sequence[str], rows: npt.NDArray[np.void], texts: Sequence[str]
    ) -> None:
        self.names, self.rows, self.texts = Texts.of(names), rows, tuple(texts)

    @classmethod
    def of(cls, scans: Iterable[ImageScan]) -> ScanTable:
        """Returns a table of these results; a table as it is."""
        if isinstance(scans, ScanTable):
            return scans
        scans, codes = list(scans), TextCodes()
        rows = np.array([pack(scan, codes) for scan in scans], ROW)
        return cls([scan.name for scan in scans], rows, codes.texts)

    def __len__(self) -> int:
        return len(self.rows)

    def _item(self, index: int) -> ImageScan:
        return self._scan(self.names[index], self.rows[index].tolist())

    def __iter__(self) -> Iterator[ImageScan]:
        for name, row in zip(self.names, self.rows, strict=True):
            yield self._scan(name, row.tolist())

    def _scan(self, name: str, row: tuple[Any, ...]) -> ImageScan:
        values = dict(zip(ROW.names or (), row, strict=True))
        digest = bytes(values.pop("sha256"))
        del values["stamp"]
        values |= {field: self.texts[values[field]] for field in TEXT_FIELDS}
        return ImageScan(name=name, sha256=digest.hex() if any(digest) else "", **values)

    def take(self, indices: npt.NDArray[np.int64]) -> ScanTable:
        """Returns the results at `indices`, in that order."""
        return ScanTable(self.names.take(indices), self.rows[indices], self.texts)

    def numbers(self, field: str) -> npt.NDArray[np.int32]:
        """Returns a numeric field of all images, int32 [N]."""
        return self.rows[field]

    def has(self, field: str) -> npt.NDArray[np.bool_]:
        """Returns whether a text field is not empty, bool [N]."""
        filled = np.array([bool(text) for text in self.texts])
        return filled[self.rows[field]]

    def equals(self, field: str, text: str) -> npt.NDArray[np.bool_]:
        """Returns whether a text field is this text, bool [N]."""
        return np.array([known == text for known in self.texts])[self.rows[field]]

    @property
    def digests(self) -> Digests:
        """SHA-256 of the files; zeros where a file was not read whole."""
        return Digests(self.rows["sha256"])

    @staticmethod
    def join(parts: Sequence[ScanTable]) -> ScanTable:
        """Concatenates tables."""
        codes = TextCodes()
        rows = np.concatenate([np.empty(0, ROW), *(part.rows for part in parts)])
        ends = np.cumsum([len(part) for part in parts])
        for part, end in zip(parts, ends, strict=True):
            codes.recode(rows[end - len(part) : end], part.texts)
        names = Texts.join([part.names for part in parts]) if parts else Texts.of(())
        return ScanTable(names, rows, codes.texts)


def pack(scan: ImageScan, codes: TextCodes) -> tuple[Any, ...]:
    """Returns an examination as the fields of ROW."""
    digest = bytes.fromhex(scan.sha256) if scan.sha256 else bytes(32)
    values = [getattr(scan, field.name) for field in _FIELDS]
    return (
        np.frombuffer(digest, np.uint8),
        0,
        *(codes.code(value) if isinstance(value, str) else value for value in values),
    )
