"""DataConfig: what of a data set is used, and how it is divided."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from zoo.config import Config


class DataConfig(Config):
    """Which images are used, which are left out, and how many judge the rest.

    Args:
        val_fraction: Share of every class that goes to validation where the source
            has no validation images of its own; strictly between 0 and 1. Each
            class gives at least one image.
        test_fraction: Share of every class that goes to test where the source has no
            test images of its own; 0 makes no test split.
        train_per_class: At most this many training images of each class, to see what
            fewer labels cost; 0 takes all. Which ones depends on the recipe's seed, and
            fewer are always among more.
        exclude: Images to leave out: names as the messages write them, folders
            (`train/ants`), or glob patterns (`*.gif`; `*` crosses folders too). A
            class of which nothing is left is dropped.
        max_undecodable: Share of the files, 0 to 1, that may fail to decode and are
            left out with a warning. One more than that stops the job, since the
            rest of such a data set is seldom what its owner believes it to be.
    """

    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    train_per_class: Annotated[int, Field(ge=0)] = 0
    exclude: tuple[str, ...] = ()
    max_undecodable: Annotated[float, Field(ge=0, le=1)] = 0.05

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> DataConfig:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError(
                "val_fraction and test_fraction leave nothing to train on; expected a sum below "
                f"1; received {self.val_fraction} + {self.test_fraction}"
            )
        return self
