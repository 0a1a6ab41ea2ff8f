"""Columns behave as tuples of their items, at a few bytes each."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.columns import ByteStrings, Digests, Files, KeyIndex, Texts, sortable
from pipelines.sources.source import Examples, join_examples

TEXTS = ("ants/1.jpg", "", "café/ü.png", "a" * 300)


@pytest.mark.parametrize("prefix", ["", "val/"])
def test_texts_are_a_sequence_of_str(prefix: str) -> None:
    texts = Texts(Texts.of(TEXTS).encoded, prefix)
    expected = tuple(prefix + text for text in TEXTS)
    assert texts == expected
    assert tuple(texts) == expected
    assert texts[-1] == expected[-1]
    assert texts[1:3] == expected[1:3]
    assert texts.index(expected[2]) == 2
    assert texts.take(np.array([3, 0, 0])) == (expected[3], expected[0], expected[0])
    assert Texts.join([texts, Texts.of(["x"])]) == (*expected, "x")
    assert texts != expected[:-1]
    assert Texts.of(texts) is texts


def test_a_selection_and_the_join_of_selections_share_the_buffer() -> None:
    texts = ByteStrings.of(text.encode() for text in TEXTS)
    parts = [texts.take(np.array([2, 1])), texts.take(np.array([0]))]
    joined = ByteStrings.join(parts)
    assert joined.buffer is texts.buffer
    assert list(joined) == [TEXTS[i].encode() for i in (2, 1, 0)]
    other = ByteStrings.join([joined, ByteStrings.of([b"new"])])
    assert list(other) == [*joined, b"new"]


def test_files_join_their_root(tmp_path: Path) -> None:
    files = Files(str(tmp_path), ByteStrings.of([b"a/1.jpg", b"/absolute.png"]))
    expected = (tmp_path / "a/1.jpg", Path("/absolute.png"))
    assert files == expected
    assert tuple(files) == expected
    assert list(files.paths()) == [os.fsencode(path) for path in expected]
    assert files.path(0) == os.fsencode(expected[0])
    assert Files.join([files, Files.of([Path("b")])]) == (*expected, Path("b"))


def test_name_of_a_file_that_is_not_utf_8_is_escaped_and_its_path_is_not() -> None:
    encoded = ByteStrings.of([b"caf\xe9.png"])
    assert Texts(encoded)[0] == "caf\\xe9.png"
    assert os.fsencode(Files("", encoded)[0]) == b"caf\xe9.png"


@given(st.lists(st.binary(min_size=4, max_size=4)), st.lists(st.binary(min_size=4, max_size=4)))
def test_key_index_finds_what_a_dict_finds(keys: list[bytes], wanted: list[bytes]) -> None:
    def table(items: list[bytes]) -> np.ndarray:
        return np.frombuffer(b"".join(items), np.uint8).reshape(-1, 4)

    rows = {key: row for row, key in enumerate(keys)}
    found = KeyIndex(table(keys)).find(table(wanted + keys))
    assert found.tolist() == [rows.get(key, -1) for key in wanted + keys]
    order = np.argsort(sortable(table(keys)), kind="stable")
    assert [keys[i] for i in order] == sorted(keys)


def test_examples_of_many_images_take_few_bytes_beside_their_paths() -> None:
    count = 50_000
    names = [f"class_{i % 10}/{i:08}.jpg".encode() for i in range(count)]
    path_bytes = sum(map(len, names))
    digests = Digests.hash(names).binary
    tracemalloc.start()
    encoded = ByteStrings.of(names)
    labels = np.arange(count) % 10
    whole = Examples(Texts(encoded), labels, Files("/data", encoded), targets={"": labels})
    scanned = Examples(
        whole.names, labels, whole.files, digests=Digests(digests.copy()),
        shapes=np.ones((count, 2), np.int64), targets={"": labels},
    )  # fmt: skip
    parts = [scanned.take(range(0, count, 2)), scanned.take(range(1, count, 2))]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (size - path_bytes) / count < 200
    assert sum(map(len, parts)) == count


def test_joined_examples_are_those_of_their_parts(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.png" for i in range(4)]
    for index, file in enumerate(files):
        file.write_bytes(bytes([index]))
    digests = [hashlib.sha256(bytes([index])).hexdigest() for index in range(4)]
    whole = Examples(tuple("abcd"), np.arange(4), files=files, digests=digests)
    joined = join_examples([whole.take([3, 1]), whole.take([0])])
    assert joined.names == ("d", "b", "a")
    assert joined.digests == (digests[3], digests[1], digests[0])
    assert [joined.read(index) for index in range(3)] == [b"\3", b"\1", b"\0"]
