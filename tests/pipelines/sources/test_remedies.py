"""Remedies: what a message proposes is applied, and the message is gone.

Every text of this room that proposes a setting belongs to a case below, or is listed with the
reason why it proposes none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipelines.inspection.audit import audit
from pipelines.recipe.overrides import parse_overrides
from pipelines.recipe.recipe import Recipe
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.opening.describe import describe
from tests.support.photographs import Fill, encode, photo
from tests.support.remedies import find_sites, proposed_settings
from zoo.errors import DataError

COPY = encode(photo(1000, (12, 10)))
DRAWING = encode(photo(0, (40, 30)).point(lambda _: 0), "PNG")


def table(root: Path, text: str) -> Path:
    """Writes a table, and photographs 0.jpg to 7.jpg beside it."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(8):
        (root / f"{number}.jpg").write_bytes(encode(photo(number, (12, 10))))
    (root / "t.csv").write_text(text)
    return root / "t.csv"


def rows(row: str) -> str:
    """Returns eight lines: `{n}` is a number, `{c}` a class, `{s}` a split."""
    return "".join(
        row.format(n=n, c="ab"[n % 2], s=("train", "val")[n > 3]) + "\n" for n in range(8)
    )


@dataclass(frozen=True)
class Case:
    """A bad data set, and what is said of it.

    Args:
        site: A part of the text in the code that proposes the remedy.
        said: A part of the message.
        make: Makes the data set in a new folder.
        settings: What the recipe says already.
        fill_in: What a user writes for a word in capitals.
    """

    site: str
    said: str
    make: Callable[[Fill], Path]
    settings: tuple[str, ...] = ()
    fill_in: Mapping[str, str] = field(default_factory=dict)


def _two_classes(fill: Fill, prefix: str = "", count: int = 12) -> Path:
    fill(f"{prefix}ants", count)
    return fill(f"{prefix}bees", count)


def _with_splits(fill: Fill) -> Path:
    _two_classes(fill, "train/")
    return _two_classes(fill, "val/", 2)


def _heic(fill: Fill) -> Path:
    _two_classes(fill)
    for number in range(3):
        (fill.root / "ants" / f"IMG_{number}.HEIX").write_bytes(b"....ftyp" + bytes(40))
    return fill("bees", 0, notes__Txt=b"none", a__txt=b"")


def _outlier(fill: Fill) -> Path:
    root = _two_classes(fill)
    for number, file in enumerate(sorted(root.rglob("*.jpg"))):
        file.write_bytes(encode(photo(number, (40, 30))))
    (root / "ants" / 'it\'s [1] "odd".png').write_bytes(DRAWING)
    return root


def _leaf_folders(fill: Fill) -> Path:
    for folder in ("a/ants", "b/bees", "b/wasps"):
        fill(folder, 4)
    return fill.root


def _tasks(fill: Fill) -> Path:
    return table(fill.root, "path,color,tags\n" + rows("{n}.jpg,{c},x|{c}"))


def _unseen_label(fill: Fill) -> Path:
    text = "path,split,color\n" + rows("{n}.jpg,{s},{c}").replace("7.jpg,val,b", "7.jpg,val,New c")
    return table(fill.root, text)


def _unreadable_label(fill: Fill) -> Path:
    data = _unseen_label(fill)
    data.write_text(data.read_text().replace("split,", "part,"))
    (data.parent / "7.jpg").write_bytes(b"")
    return data


def _empty_cells(fill: Fill) -> Path:
    _with_splits(fill)
    fill("train/wasps")
    fill("train/a \"b\" 'c'")
    return fill("val/wasps")


COLOR = ("tasks.color.kind=single_label", "tasks.color.column=color")
ADMIT = ("data.max_undecodable=1.0",)

CASES = {
    "groups of no image": Case(
        "or group none with --set",
        "data.group matches no image",
        _two_classes,
        settings=(r"data.group=patient_(\d+)",),
    ),
    "capture times of no image": Case(
        "or group none with --set",
        "says when it was taken",
        _two_classes,
        settings=("data.group=time",),
    ),
    "other columns": Case(
        "if these are the columns, --set",
        "no column 'path' and none 'label'",
        lambda fill: table(fill.root, "Image File,it's\n" + rows("{n}.jpg,{c}")),
    ),
    "synonyms": Case(
        "if these are the columns, --set",
        "no column 'path' and none 'label'",
        lambda fill: table(fill.root, "id;Filename;Class\n" + rows("7;{n}.jpg;{c}")),
    ),
    "the last column": Case(
        "if these are the columns, --set",
        "no column 'label'",
        lambda fill: table(fill.root, 'path,"it\'s ""odd"""\n' + rows("{n}.jpg,{c}")),
    ),
    "columns that no one can guess": Case(
        "name them: --set data.columns.{}=NAME",
        "no column 'label'",
        lambda fill: table(fill.root, "path,u,v\n" + rows("{n}.jpg,{c},1")),
        fill_in={"NAME": "u"},
    ),
    "a split column that is not there": Case(
        "name it, or read none with --set",
        "no column 'fold'",
        lambda fill: table(fill.root, "path,label\n" + rows("{n}.jpg,{c}")),
        ("data.columns.split=fold",),
    ),
    "a column split with something else": Case(
        "if the column is no split, --set",
        "names an unknown split",
        lambda fill: table(fill.root, "path,label,split\n" + rows("{n}.jpg,{c},fold{n}")),
    ),
    "no extension and another folder": Case(
        "--set {}",
        "8 of 8 images that",
        lambda fill: (
            table(fill.root / "my 'images'", ""),
            table(fill.root, "path,label\n" + rows("{n}a,{c}")),
            [
                (fill.root / f"{n}.jpg").rename(fill.root / "my 'images'" / f"{n}a.jpg")
                for n in range(8)
            ],
        )[1],
    ),
    "classes below letters": Case(
        "--set data.leaves=true", "every class folder holds folders alone", _leaf_folders
    ),
    "a drawing among photographs": Case("; leave it out with --set {}", "outlier ants/", _outlier),
    "empty class folders": Case(
        "add images, or leave them out with --set {}", "Class folders of", _empty_cells
    ),
    "classes without training images": Case(
        ", or leave out with --set {}",
        "Class 'New' of",
        lambda fill: (_with_splits(fill), fill("val/New", 2), fill("val/wasps", 1))[0],
    ),
    "classes that do not decode": Case(
        ", or leave out with --set {}",
        "has no image that can be decoded, like 1 other",
        lambda fill: (
            _two_classes(fill),
            fill("b c", 0, a__jpg=b"", b__jpg=b"no"),
            fill("d", 0, a__jpg=b""),
        )[0],
        ADMIT,
    ),
    "a class too small to split": Case(
        "images to split",
        "Class 'w s' has too few images",
        lambda fill: (_two_classes(fill), fill("w s", 1))[0],
    ),
    "a class of copies alone": Case(
        "add images, or leave the class out with --set {}",
        "Class 'w s' has too few different images",
        lambda fill: (_two_classes(fill), fill("w s", 0, a__jpg=COPY, b__jpg=COPY))[0],
    ),
    "files of foreign formats": Case("leave them out with --set {}", "cannot be decoded", _heic),
    "damaged images": Case(
        "with --set data.max_undecodable={}",
        "3 of 27 files in",
        lambda fill: (_two_classes(fill), fill("ants", 0, a__jpg=b"", b__PNG=b"", c__txt=b""))[0],
    ),
    "images of which a part is left": Case(
        "with --set data.damaged={}",
        "1 of 9 files in",
        lambda fill: (
            fill("bees", 4),
            fill("ants", 4, a__jpg=encode(photo(1, (320, 240)))[:20_000]),
        )[0],
    ),
    "a task whose column has another name": Case(
        "--set tasks.{}.column=NAME names another",
        "no column 'colour', which the task",
        _tasks,
        ("tasks.color.kind=single_label", "tasks.color.column=colour"),
        fill_in={"NAME": "color"},
    ),
    "a label without training images": Case(
        "or leave out those with it by --set {}", "has no image in train", _unseen_label, COLOR
    ),
    "a label that does not decode": Case(
        "add images, or leave it out with --set {}",
        "has no image that can be decoded",
        _unreadable_label,
        (*COLOR, *ADMIT),
    ),
}

NO_REMEDIES = {
    "data.columns names one column twice": "the message of a wrong setting",
    "data.group matches no image of {}": "says what a setting did not do",
    "data.group is no regular expression": "the message of a wrong setting",
    "data.exclude leaves out {} of {} images": "says what a setting did",
    "{} of data.exclude matches nothing": "says what a setting did not do",
    "data.relabel": "says what a setting did, or why it did not",
    "data.exclude={}": "the value that messages put after --set",
    "data.folder": "the setting that table_paths puts after --set",
    "data.suffix": "the setting that table_paths puts after --set",
    "pixels are more than data.max_pixels": "says which limit",
    "correct the paths": "says what paths are relative to",
    "set ZOO_CACHE to another folder": "test_tfds.py",
    "ZOO_CACHE": "the name of the variable",
    "TFDS_DATA_DIR": "test_tfds.py prepares a data set in such a folder and reads it",
    "more; `zoo audit` lists all": "test_audit.py: it lists all",
    "`zoo audit` lists all": "test_audit.py: it lists all",
    "--out": "the option of a converter",
    "digits": "a name",
    "features.json": "the name of a file",
    "that `zoo features` wrote": "says what a place is",
    "run `zoo features": "test_compute_features.py: it computes what is missing",
}
"""Texts that name a setting or a command and propose none, with the reason."""


def say(data: Path, settings: tuple[str, ...]) -> list[str]:
    """Returns what training says of a data set: the error, or its remarks."""
    recipe = Recipe.from_settings(parse_overrides(settings))
    try:
        return describe(open_source(str(data), recipe.data, tasks=recipe.unbound_tasks))
    except DataError as error:
        return [str(error)]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_proposed_remedy_removes_the_message(case: Case, fill: Fill) -> None:
    data = case.make(fill)
    (message,) = [text for text in say(data, case.settings) if case.said in text]
    alternatives = proposed_settings(message)
    assert alternatives
    for proposed in alternatives:
        filled = tuple(
            text.replace(word, name)
            for text in proposed
            for word, name in (case.fill_in or {"": ""}).items()
        )
        said = say(data, (*case.settings, *filled))
        assert not [text for text in said if case.said in text], filled
        # It opens: no other error has taken its place.
        open_with = Recipe.from_settings(parse_overrides((*case.settings, *filled)))
        open_source(str(data), open_with.data, tasks=open_with.unbound_tasks)
        if "outlier" not in case.said:
            reported = audit(data, open_with.data, open_with.unbound_tasks)
            assert not [text for text in reported.lines() if case.said in text]


def test_every_proposal_of_this_room_has_a_case(root: Path) -> None:
    known = [case.site for case in CASES.values()] + list(NO_REMEDIES)
    unknown = [
        f"{site.file}:{site.line}: {site.text}"
        for site in find_sites(root / "pipelines" / "sources")
        if not any(text in site.text for text in known)
    ]
    assert not unknown
