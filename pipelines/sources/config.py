"""DataConfig: the images of a data set to use, and how to split them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from zoo.config import Config

MAX_PIXELS = 2**29 // 3
"""Where TensorFlow's decoder of JPEG ends, and Pillow's limit against decompression bombs."""


NEAR_DUPLICATES, TIME = "near_duplicates", "time"
"""What `data.group` may be instead of a regular expression."""


class ColumnNames(Config):
    """Headings of a table's columns; their case does not matter.

    Args:
        path: Heading of the images' paths.
        label: Heading of their classes.
        split: Heading of their splits, if there is such a column; an empty text leaves a
            column `split` unread.
        group: Heading of what images that belong together share, such as a patient, if there
            is such a column; an empty text leaves a column `group` unread.
    """

    path: Annotated[str, Field(min_length=1)] = "path"
    label: Annotated[str, Field(min_length=1)] = "label"
    split: str = "split"
    group: str = "group"

    @model_validator(mode="after")
    def _differ(self) -> ColumnNames:
        names = [name for name in (self.path, self.label, self.split, self.group) if name]
        if len({name.casefold() for name in names}) < len(names):
            raise ValueError(
                "data.columns names one column twice; expected names that differ; "
                f"received {', '.join(names)}"
            )
        return self


class DataConfig(Config):
    r"""Selection and splits of the images.

    Args:
        val_fraction: Share of each class, strictly between 0 and 1, that is split off
            for validation if the data set has no validation split; at least one image
            per class. A linear head has these images for training, too, unless this is
            another share than usual; see `pipelines.recipe.sections.TrainConfig`.
        test_fraction: Share of each class that is split off for testing if the data
            set has no test split; 0 makes no test split.
        train_per_class: Maximum number of training images per class, to measure the
            effect of fewer labels; 0 takes all. The recipe's seed selects them; the
            images for a smaller number are among those for a larger one.
        group: Which images belong together: splits and folds that this project makes do not
            divide them. A regular expression that is searched in an image's name, such as
            `patient_(\d+)`: those for which its first group, or without one its match, is
            the same; others stand alone. It takes the place of a table's column `group`.
            `near_duplicates`: those that are the same but for encoding, size, brightness, crop
            or mirroring. `time`: photographs that one camera took within five seconds of each
            other, by their EXIF data. These two join the groups of a table's column `group`.
            A regular expression for the word itself is `(time)`.
        exclude: Images to leave out: names as in the messages, folders (`train/ants`),
            classes and labels (`ants`), or glob patterns of these (`*.gif`; `*` matches
            `/` too). Case is ignored. A class without any image left is dropped.
        relabel: A .csv or .tsv file that corrects labels, with the columns `path`, an image's name
            as in the messages, and `label`: its class, or nothing to leave it out. The data
            set itself stays as it is. `zoo audit --backbone NAME --suspects FILE.csv` writes such
            a file to edit. Recorded with its absolute path.
        max_undecodable: Share of the files, 0 to 1, that may fail to decode; they are
            left out with a warning. If more fail, the job stops, because such a data
            set is rarely what its owner believes it to be.
        damaged: Whether an image that damage may hide a part of, as a JPEG that is gray from
            its middle on, is left out like a file that does not decode (`skip`), or used
            (`keep`); it is named either way. One that lacks only its last bytes is used and
            named.
        max_pixels: Largest width times height of an image, from its header, before it is
            decoded; the default, 179 megapixels, is where TensorFlow's decoder and Pillow
            end. With more, only a JPEG is read, and only with `input.decode = "scaled"`.
        verify: How a file that an earlier job read is known to be unchanged: by its size,
            times and inode (`stat`), or by reading it again (`content`).
        leaves: Whether the deepest folders are the classes, as in `photos/a/ants/1.jpg`,
            instead of those below the data set or its splits.
        columns: What a table calls its columns, such as
            `{path = "filename", label = "class"}`.
        suffix: Extension of the files that a table names without it, such as `.jpg`.
        folder: Folder that the paths of a table are relative to; itself relative to the
            folder of the table.
    """

    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    train_per_class: Annotated[int, Field(ge=0)] = 0
    group: str = ""
    exclude: tuple[str, ...] = ()
    relabel: str = ""
    max_undecodable: Annotated[float, Field(ge=0, le=1)] = 0.05
    damaged: Literal["skip", "keep"] = "skip"
    max_pixels: Annotated[int, Field(ge=1)] = MAX_PIXELS
    verify: Literal["stat", "content"] = "stat"
    leaves: bool = False
    columns: ColumnNames = ColumnNames()
    suffix: str = ""
    folder: str = ""

    @field_validator("group")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(
                f"data.group is no regular expression: {error}; expected one as patient_(\\d+); "
                f"received {value!r}"
            ) from None
        return value

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> DataConfig:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError(
                "val_fraction and test_fraction leave nothing to train on; expected a sum below "
                f"1; received {self.val_fraction} + {self.test_fraction}"
            )
        return self
