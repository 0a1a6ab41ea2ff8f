"""Columns of a data set: texts, file paths and digests of a million images in a few arrays.

A Python string takes 50 bytes beside its characters and a `Path` several hundred. These
columns behave as sequences of `str` and `Path`, and make an item when it is asked for.
"""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Item = TypeVar("Item")

_CHUNK = 4096
"""Items of which an iteration holds the offsets as Python numbers."""


class ByteStrings:
    """N byte strings in one buffer, which selections share.

    Args:
        buffer: The strings, one after the other, in any order.
        starts: int64 [N], offset of each string.
        lengths: int32 [N], bytes of each string.
    """

    def __init__(
        self, buffer: bytes, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int32]
    ) -> None:
        self.buffer, self.starts, self.lengths = buffer, starts, lengths

    @classmethod
    def of(cls, items: Iterable[bytes]) -> ByteStrings:
        """Copies byte strings into a buffer, one at a time."""
        import numpy as np

        buffer, sizes = bytearray(), array("i")
        for item in items:
            buffer += item
            sizes.append(len(item))
        lengths = np.array(sizes, np.int32)
        ends = np.cumsum(lengths, dtype=np.int64)
        return cls(bytes(buffer), ends - lengths, lengths)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> bytes:
        start = int(self.starts[index])
        return self.buffer[start : start + int(self.lengths[index])]

    def __iter__(self) -> Iterator[bytes]:
        for first in range(0, len(self), _CHUNK):
            part = slice(first, first + _CHUNK)
            ends = (self.starts[part] + self.lengths[part]).tolist()
            for start, end in zip(self.starts[part].tolist(), ends, strict=True):
                yield self.buffer[start:end]

    def take(self, indices: npt.NDArray[np.int64]) -> ByteStrings:
        """Returns the strings at `indices`, in that order, without a copy of them."""
        return ByteStrings(self.buffer, self.starts[indices], self.lengths[indices])

    @staticmethod
    def join(parts: Sequence[ByteStrings]) -> ByteStrings:
        """Concatenates columns, without a copy of the strings if they share their buffer."""
        import numpy as np

        starts, lengths = [p.starts for p in parts], np.concatenate([p.lengths for p in parts])
        buffer = parts[0].buffer
        if any(part.buffer is not buffer for part in parts):
            buffer = b"".join(part.buffer for part in parts)
            sizes = np.cumsum([0, *(len(part.buffer) for part in parts)])
            starts = [s + size for s, size in zip(starts, sizes[:-1], strict=True)]
        return ByteStrings(buffer, np.concatenate(starts), lengths)


class Column(Sequence[Item], Generic[Item]):
    """A sequence whose items are made when they are asked for; equal to any with equal items."""

    @abstractmethod
    def _item(self, index: int) -> Item:
        """Makes the item at an index."""

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...

    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(index, slice):
            return tuple(map(self._item, range(*index.indices(len(self)))))
        return self._item(index)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(map(_are_equal, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"{type(self).__name__}([{shown}{', …' if len(self) > 3 else ''}], {len(self)})"


class Texts(Column[str]):
    r"""A column of texts, such as the names of images.

    Args:
        encoded: The texts in UTF-8. A byte that is not UTF-8 reads as an escape, `\xe9`, as
            in the name of a file on a disk of another system.
        prefix: A text that all begin with.

    Example:
        >>> Texts.of(["ants/1.jpg", "ants/2.jpg"])[1]
        'ants/2.jpg'
    """

    def __init__(self, encoded: ByteStrings, prefix: str = "") -> None:
        self.encoded, self.prefix = encoded, prefix

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Returns a column of these texts; a column as it is."""
        if isinstance(texts, Texts):
            return texts
        return cls(ByteStrings.of(text.encode(errors="surrogateescape") for text in texts))

    def __len__(self) -> int:
        return len(self.encoded)

    def __iter__(self) -> Iterator[str]:
        return (self.prefix + text.decode(errors="backslashreplace") for text in self.encoded)

    def _item(self, index: int) -> str:
        return self.prefix + self.encoded[index].decode(errors="backslashreplace")

    def take(self, indices: npt.NDArray[np.int64]) -> Texts:
        """Returns the texts at `indices`, in that order."""
        return Texts(self.encoded.take(indices), self.prefix)

    @staticmethod
    def join(parts: Sequence[Texts]) -> Texts:
        """Concatenates columns."""
        if len({part.prefix for part in parts}) == 1:
            return Texts(ByteStrings.join([part.encoded for part in parts]), parts[0].prefix)
        return Texts.of(text for part in parts for text in part)


class Files(Column[Path]):
    """A column of files.

    Args:
        root: A folder; empty for the current one.
        encoded: Paths below it, or absolute ones, as `os.fsencode` returns them.
    """

    def __init__(self, root: str, encoded: ByteStrings) -> None:
        self.root, self.encoded = root, encoded

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Files:
        """Returns a column of these paths; a column as it is."""
        return (
            paths if isinstance(paths, Files) else cls("", ByteStrings.of(map(os.fsencode, paths)))
        )

    def __len__(self) -> int:
        return len(self.encoded)

    def __iter__(self) -> Iterator[Path]:
        return map(Path, map(os.fsdecode, self.paths()))

    def _item(self, index: int) -> Path:
        return Path(self.root, os.fsdecode(self.encoded[index]))

    def path(self, index: int) -> bytes:
        """Returns the encoded path of a file, its root included."""
        return os.path.join(os.fsencode(self.root), self.encoded[index])

    def paths(self) -> Iterator[bytes]:
        """Yields the encoded paths of all files, their root included."""
        root = os.fsencode(self.root)
        return (os.path.join(root, path) for path in self.encoded)

    def take(self, indices: npt.NDArray[np.int64]) -> Files:
        """Returns the files at `indices`, in that order."""
        return Files(self.root, self.encoded.take(indices))

    @staticmethod
    def join(parts: Sequence[Files]) -> Files:
        """Concatenates columns."""
        if len({part.root for part in parts}) == 1:
            return Files(parts[0].root, ByteStrings.join([part.encoded for part in parts]))
        return Files("", ByteStrings.of(path for part in parts for path in part.paths()))


class Digests(Column[str]):
    """A column of SHA-256 digests, as texts of 64 hexadecimal digits.

    Args:
        binary: uint8 [N, 32].
    """

    def __init__(self, binary: npt.NDArray[np.uint8]) -> None:
        self.binary = binary

    @classmethod
    def of(cls, digests: Iterable[str]) -> Digests:
        """Returns a column of these digests; a column as it is."""
        import numpy as np

        if isinstance(digests, Digests):
            return digests
        binary = b"".join(map(bytes.fromhex, digests))
        return cls(np.frombuffer(binary, np.uint8).reshape(-1, 32))

    @classmethod
    def hash(cls, contents: Iterable[bytes]) -> Digests:
        """Returns the digests of some contents."""
        import numpy as np

        binary = bytearray()
        for content in contents:
            binary += hashlib.sha256(content).digest()
        return cls(np.frombuffer(bytes(binary), np.uint8).reshape(-1, 32))

    def __len__(self) -> int:
        return len(self.binary)

    def _item(self, index: int) -> str:
        return self.binary[index].tobytes().hex()

    def take(self, indices: npt.NDArray[np.int64]) -> Digests:
        """Returns the digests at `indices`, in that order."""
        return Digests(self.binary[indices])

    @staticmethod
    def join(parts: Sequence[Digests]) -> Digests:
        """Concatenates columns."""
        import numpy as np

        return Digests(np.concatenate([part.binary for part in parts]))


def sortable(keys: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """Returns keys of W bytes each as one array that NumPy sorts and searches.

    Args:
        keys: uint8 [N, W].

    Returns:
        S<W> [N], ordered as the bytes are. Only NULs at the end are lost, which all keys
        lack alike.
    """
    import numpy as np

    return np.ascontiguousarray(keys).view(f"S{keys.shape[1]}").reshape(len(keys))


class KeyIndex:
    """Finds rows of a table by keys, without an object for each.

    Args:
        keys: uint8 [M, W], the key of each row; of equal ones, the last counts.
    """

    def __init__(self, keys: npt.NDArray[np.uint8]) -> None:
        import numpy as np

        found = sortable(keys)
        self._order = np.argsort(found, kind="stable")
        self._sorted = found[self._order]

    def find(self, keys: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """Returns the row of each key, int64 [N]; -1 where no row has it.

        Args:
            keys: uint8 [N, W].
        """
        import numpy as np

        wanted = sortable(keys)
        if not len(self._sorted):
            return np.full(len(wanted), -1, np.int64)
        positions = np.searchsorted(self._sorted, wanted, side="right") - 1
        found = (positions >= 0) & (self._sorted[positions] == wanted)
        return np.where(found, self._order[positions], -1)


def _are_equal(one: object, other: object) -> bool:
    return one == other
