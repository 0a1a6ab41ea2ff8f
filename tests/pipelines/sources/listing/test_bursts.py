"""Groups by capture time: what files say, what is a burst, and that nothing divides one."""

from __future__ import annotations

import datetime
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from pipelines.inspection.audit import audit
from pipelines.sources.config import ColumnNames, DataConfig
from pipelines.sources.examining.capture import JPEG_HEAD_BYTES, Capture, read_capture
from pipelines.sources.listing.bursts import BURST_S, group_by_time, number_bursts
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.source import Examples, Listing, join_examples
from pipelines.sources.splitting.split import split_examples
from pipelines.training.fold_heads import divide
from tests.pipelines.sources.listing.test_groups import grouped_names, write_table
from tests.support.photographs import Fill, photo
from zoo.errors import DataError

START = datetime.datetime(2024, 5, 1, 12, 0, 0)


def _encode(
    seed: int, seconds: float | None, camera: str = "A", kind: str = "JPEG", **tags: str
) -> bytes:
    exif = Image.Exif()
    exif[0x0110] = camera
    if seconds is not None:
        whole = START + datetime.timedelta(seconds=int(seconds))
        details = exif.get_ifd(0x8769)
        details[0x9003] = tags.get("taken", f"{whole:%Y:%m:%d %H:%M:%S}")
        fraction = f"{seconds % 1:.2f}"[2:]
        if fraction != "00" or "fraction" in tags:
            details[0x9291] = tags.get("fraction", fraction)
        if "serial" in tags:
            details[0xA431] = tags["serial"]
    buffer = io.BytesIO()
    photo(seed, (12, 10)).save(buffer, kind, exif=exif)
    return buffer.getvalue()


def _encode_tiff() -> bytes:
    """Returns a TIFF, of which Pillow does not save what `_encode` gives it."""
    tags = ImageFileDirectory_v2()
    tags[0x0110] = "Camera 5"
    tags[0x8769] = {0x9003: "2024:05:01 12:00:07", 0x9291: "25", 0xA431: "123"}
    buffer = io.BytesIO()
    photo(0, (12, 10)).save(buffer, "TIFF", tiffinfo=tags)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_capture_is_read_from_exif_data(kind: str) -> None:
    is_tiff = kind == "TIFF"
    content = _encode_tiff() if is_tiff else _encode(0, 7.25, "Camera 5", kind, serial="123")
    found = read_capture("a", content)
    since = START - datetime.datetime.min
    assert found == Capture(("", "Camera 5", "123"), since.total_seconds() + 7.25)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        _encode(0, None),
        _encode(0, 0, taken="0000:00:00 00:00:00"),
        _encode(0, 0, taken="    :  :     :  :  "),
        _encode(0, 0, kind="TIFF")[:40],
        _encode(0, 0)[:30],
    ],
)
def test_file_that_does_not_say_has_none(content: bytes) -> None:
    assert read_capture("a.jpg", content) is None


def test_fraction_that_is_none_counts_as_zero() -> None:
    found = read_capture("a", _encode(0, 3, fraction="½"))
    assert found is not None
    assert found.time_s % 1 == 0


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([0, 4, 8], [0, 0, 0]),
        ([8, 0, 4], [0, 0, 0]),
        ([0, BURST_S, 2 * BURST_S + 0.01], [0, 0, 1]),
        ([0, 100, 0.5], [0, 1, 0]),
    ],
)
def test_burst_goes_on_as_long_as_the_next_is_near(
    seconds: list[float], expected: list[int]
) -> None:
    assert number_bursts([Capture(("A",), time_s) for time_s in seconds]) == expected


CAPTURES = st.lists(
    st.one_of(
        st.none(),
        st.builds(
            Capture,
            st.sampled_from([("A", "1"), ("A", "2"), ("B", "")]),
            st.floats(0, 120).map(lambda seconds: round(seconds, 2)),
        ),
    ),
    min_size=12,
    max_size=40,
)


@given(CAPTURES, st.integers(0, 5), st.integers(2, 4))
def test_neither_a_split_nor_a_fold_divides_a_burst(
    captures: list[Capture | None], seed: int, num_folds: int
) -> None:
    count = len(captures)
    numbers = number_bursts(captures)
    examples = Examples(
        [f"{index:03}" for index in range(count)],
        np.arange(count) % 2,
        groups=np.array([-1 if number is None else number for number in numbers]),
    )
    near = [
        (i, j)
        for i, one in enumerate(captures)
        for j, other in enumerate(captures[:i])
        if one and other and one.camera == other.camera
        if abs(one.time_s - other.time_s) <= BURST_S
    ]
    try:
        splits = split_examples(
            examples, ("a", "b"), val_fraction=0.3, test_fraction=0.2, seed=seed
        )
        folds = divide(examples, num_folds, seed)
    except DataError:
        return  # too few groups of a class
    part_of = {int(name): part for part, own in splits.items() for name in own.names}
    fold_of = {index: fold for fold, (_, held) in enumerate(folds) for index in held.tolist()}
    assert len(part_of) == len(fold_of) == count
    for i, j in near:
        assert part_of[i] == part_of[j]
        assert fold_of[i] == fold_of[j]


def _write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _burst_files() -> dict[str, bytes]:
    """Twelve images of two classes: two bursts across the classes, and what stands alone."""
    return {
        **{f"{'ab'[n % 2]}/first{n}.jpg": _encode(n, n / 2) for n in range(4)},
        **{f"{'ab'[n % 2]}/late{n}.jpg": _encode(n + 4, 300 + 4 * n) for n in range(3)},
        "a/other.jpg": _encode(8, 1, "B"),
        **{f"{'ab'[n % 2]}/plain{n}.jpg": _encode(n + 9, None) for n in range(4)},
    }


def test_bursts_of_a_folder_are_on_one_side(tmp_path: Path) -> None:
    source = open_source(str(_write(tmp_path, _burst_files())), DataConfig(group="time"))
    groups = grouped_names(source)
    assert sorted(map(len, groups)) == [1, 3, 4]
    for names in groups:
        assert len({name.split("/")[1][:3] for name in names}) == 1
        assert any(names <= set(part.names) for part in source.splits.values())
    whole = join_examples([*source.splits.values()])
    assert whole.group_names[int(whole.groups[whole.names.index("b/late1.jpg")])] == "a/late0.jpg"


def test_files_that_are_no_images_do_not_keep_it_from_reading_the_others(fill: Fill) -> None:
    burst = {"one__jpg": _encode(0, 0), "two__jpg": _encode(1, 1)}
    root = fill("a", 2, **burst, broken__jpg=b"\xff\xd8\xff")
    fill("b", 4)
    source = open_source(str(root), DataConfig(group="time", max_undecodable=0.5))
    assert {"a/one.jpg", "a/two.jpg"} in [set(names) for names in grouped_names(source)]


def test_exif_data_behind_long_segments_are_found(tmp_path: Path) -> None:
    content = _encode(0, 2)
    comment = b"\xff\xfe\xff\xff" + bytes(0xFFFD)
    long = content[:2] + comment * (JPEG_HEAD_BYTES // len(comment) + 1) + content[2:]
    root = _write(tmp_path, {"a/1.jpg": long, "a/2.jpg": content})
    files = tuple(root / "a" / name for name in ("1.jpg", "2.jpg", "gone.jpg"))
    examples = Examples(("1", "2", "gone"), np.zeros(3, np.int64), files)
    found = group_by_time(Listing(("a",), {"all": examples})).splits["all"].groups
    assert found is not None
    assert found.tolist() == [0, 0, -1]


def test_bytes_without_files_are_read(tmp_path: Path) -> None:
    encoded = (_encode(0, 0), _encode(1, 2), _encode(2, 60))
    examples = Examples(tuple("abc"), np.zeros(3, np.int64), encoded=encoded)
    found = group_by_time(Listing(("a",), {"all": examples})).splits["all"].groups
    assert found is not None
    assert found.tolist() == [0, 0, 1]


def test_bursts_join_the_groups_of_a_column(tmp_path: Path) -> None:
    rows = ["a,x", "b,", "a,", "b,y", "a,y", "b,", "a,", "b,z"]
    data = write_table(tmp_path, "path,label,patient", rows)
    # 0 is of x and in a burst with 1; 3 and 4 are of y, and 4 in a burst with 5.
    for number, seconds in {0: 0, 1: 1, 4: 100, 5: 101}.items():
        (tmp_path / f"{number}.jpg").write_bytes(_encode(number, seconds))
    config = DataConfig(group="time", columns=ColumnNames(group="patient"))
    assert grouped_names(open_source(data, config)) == {
        frozenset({"0.jpg", "1.jpg"}),
        frozenset({"3.jpg", "4.jpg", "5.jpg"}),
        frozenset({"7.jpg"}),
    }


def test_data_without_capture_times_are_refused_for_training(fill: Fill) -> None:
    fill("ants", 4)
    root = str(fill("bees", 4))
    message = r"no image of .* says when it was taken; expected photographs with EXIF .*--set"
    with pytest.raises(DataError, match=message):
        open_source(root, DataConfig(group="time"))
    (blocking,) = audit(root, DataConfig(group="time")).blocking
    assert "says when it was taken" in blocking


def test_word_itself_is_an_expression_in_parentheses(tmp_path: Path) -> None:
    data = write_table(tmp_path, "path,label", ["a", "b"] * 4)
    with pytest.raises(DataError, match=r"data\.group matches no image"):
        open_source(data, DataConfig(group="(time)"))
