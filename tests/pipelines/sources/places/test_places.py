"""Places: what is written of images and features is read again; damage is never read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.features.placed import PlacedFeatures
from pipelines.sources.examining.examination import ImageScan
from pipelines.sources.examining.scan_table import ScanTable
from pipelines.sources.listing.catalog import kind_of, lasting_name, settings_of
from pipelines.sources.places.place import (
    FEATURES_FILE,
    JOB_FILE,
    MANIFEST_FILE,
    Place,
    is_place,
)
from pipelines.sources.places.tables import (
    read_features,
    read_place,
    read_shard_index,
)
from pipelines.sources.source import Examples, Finding
from tests.support.places import RECORD, make_listing, write_place
from zoo.errors import DataError


@st.composite
def scans_of(draw: st.DrawFn) -> list[ImageScan]:
    texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
    names = draw(st.lists(texts, min_size=4, max_size=20, unique=True))
    return [
        ImageScan(
            name,
            format=draw(st.sampled_from(["JPEG", "PNG", ""])),
            width=draw(st.integers(0, 9000)),
            height=draw(st.integers(0, 9000)),
            bits=draw(st.integers(8, 16)),
            colors=draw(st.integers(0, 500)),
            sha256=f"{number:064x}",
            problem=draw(st.sampled_from(["", "", "", "truncated", "no image"])),
            damage=draw(st.sampled_from(["", "gray below"])),
            partial=draw(st.booleans()),
        )
        for number, name in enumerate(names, start=1)
    ]


def name_groups(examples: Examples) -> list[str]:
    assert examples.groups is not None
    numbers = examples.groups.tolist()
    return [examples.group_names[number] if number >= 0 else "" for number in numbers]


@given(scans=scans_of(), num_train=st.integers(1, 3), grouped=st.booleans(), data=st.data())
def test_place_is_read_as_it_was_written(
    scans: list[ImageScan],
    num_train: int,
    grouped: bool,
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    address = str(tmp_path_factory.mktemp("place"))
    listing = make_listing([scan.name for scan in scans], num_train, grouped=grouped)
    cut = data.draw(st.integers(1, len(scans) - 1))
    keys, features = write_place(address, listing, scans, cut)
    read = read_place(address, ["age"])
    by_name = {scan.name: scan for scan in scans}
    assert read.class_names == listing.class_names
    assert read.ignored == tuple(Finding(s.name, s.problem) for s in scans if s.problem)
    for split, examples in listing.splits.items():
        kept = [i for i, name in enumerate(examples.names) if not by_name[name].problem]
        if not kept:
            assert split not in read.splits
            continue
        found, expected = read.splits[split], examples.take(kept)
        assert found.names == expected.names
        assert found.labels.tolist() == expected.labels.tolist()
        assert found.columns == expected.columns
        assert list(found.files or ()) == list(expected.files or ())
        assert list(found.digests) == [by_name[name].sha256 for name in expected.names]
        if grouped:
            assert name_groups(found) == name_groups(expected)
    assert read.scans == ScanTable.of(scans)

    index = read_shard_index(Place(address))
    assert index.digests.tobytes().hex() == "".join(scan.sha256 for scan in scans)
    assert index.keys == keys
    assert index.shards.tolist() == [int(number >= cut) for number in range(len(scans))]
    tables = [Place(address).read_shard(key, ["sha256", "problem", "features"]) for key in keys]
    rows = [read_features(table, (2, 3)) for table in tables]
    np.testing.assert_array_equal(np.concatenate([values for _, values in rows]), features)
    hexes = b"".join(found.tobytes() for found, _ in rows).hex()
    assert hexes == "".join(scan.sha256 for scan in scans if not scan.problem)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    names = [f"{number}.jpg" for number in range(8)]
    scans = [ImageScan(name, "JPEG", 9, 9, sha256=f"{int(name[0]):064x}") for name in names]
    write_place(str(tmp_path / "place"), make_listing(names, 5), scans, 4)
    return tmp_path / "place"


def test_parquet_is_what_other_programs_read(place: Path) -> None:
    table = pq.read_table(place / "manifest.parquet").to_pydict()
    assert table["name"] == [f"{number}.jpg" for number in range(8)]
    assert table["split"] == ["train"] * 5 + ["val"] * 3
    assert table["size"] == list(range(8))
    rows = pq.read_table(place / "shards/first.parquet")["features"].to_pylist()
    assert [len(row) for row in rows] == [6] * 4


@pytest.mark.parametrize("file", ["manifest.parquet", "shards/first.parquet"])
def test_damage_is_named_and_never_read(place: Path, file: str) -> None:
    path = place / file
    whole = path.read_bytes()
    columns = pq.read_table(path).column_names
    expected = Place(str(place))._read_table(file, columns)
    rng, seen = np.random.default_rng(0), 0
    for position in rng.choice(len(whole), 60, replace=False):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        try:
            found = Place(str(place))._read_table(file, columns)
        except DataError:
            seen += 1
        else:
            assert found.equals(expected), f"byte {position} was misread"
    assert seen > 20
    path.unlink()
    with pytest.raises(DataError, match=f"{file} is missing"):
        Place(str(place))._read_table(file, columns)


def test_place_is_data_under_a_lasting_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.parent)
    assert kind_of("place").name == "features"
    assert lasting_name("place") == str(place.resolve())
    assert lasting_name("memory://bucket/place") == "memory://bucket/place"
    assert settings_of("place") == RECORD.recipe
    assert not is_place("tfds:mnist")
    assert not is_place(str(place.parent))


def test_place_that_is_not_finished_is_no_data(place: Path) -> None:
    (place / FEATURES_FILE).rename(place / JOB_FILE)
    with pytest.raises(DataError, match=r"There are no features at .*run `zoo features DATA"):
        read_place(str(place))


@pytest.mark.parametrize("change", ['"format": 2', '"format": "x"', '"extra": 1, "format": 1', "{"])
def test_record_of_another_version_is_refused(place: Path, change: str) -> None:
    file = place / FEATURES_FILE
    file.write_text(file.read_text().replace('"format": 1', change))
    with pytest.raises(DataError, match="is damaged, or of another version of this project"):
        read_place(str(place))


def test_manifest_of_another_place_is_refused(place: Path) -> None:
    (place / MANIFEST_FILE).write_bytes((place / "shards/first.parquet").read_bytes())
    with pytest.raises(DataError, match=f"{MANIFEST_FILE} is damaged"):
        read_place(str(place))


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("label", pa.array([0] * 7 + [2])),
        ("label", pa.array([0] * 7 + [-1])),
        ("label", pa.array([0] * 7 + [None], pa.int64())),
        ("label", pa.array(["ants"] * 8)),
        ("split", pa.array(["train"] * 7 + ["elsewhere"])),
        ("sha256", pa.array([b"short"] * 8)),
        ("problem", pa.array([0] * 8)),
        ("path", pa.array([1] * 8)),
        ("group", pa.array([1] * 8)),
        ("width", pa.array([0.5] * 8)),
    ],
)
def test_values_that_cannot_be_are_refused(place: Path, column: str, values: pa.Array) -> None:
    file = place / MANIFEST_FILE
    table = pq.read_table(file)
    changed = table.set_column(table.column_names.index(column), column, values)
    pq.write_table(changed, file)
    with pytest.raises(DataError, match=f"is damaged, or of another.*other values in '{column}'"):
        read_place(str(place))


def test_shard_of_other_features_is_refused(place: Path) -> None:
    file = place / "shards" / "first.parquet"
    table = pq.read_table(file)
    shorter = pa.array([[0.0] * 5] * 4, pa.list_(pa.float32()))
    pq.write_table(
        table.set_column(table.column_names.index("features"), "features", shorter), file
    )
    with pytest.raises(DataError, match="first, has other features than its record says"):
        PlacedFeatures(str(place))._read("first")
