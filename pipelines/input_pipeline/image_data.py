"""Image data: the splits of a data set as tf.data datasets for a training loop of your own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.augment.policies import AugmentConfig
from pipelines.input_pipeline.config import InputConfig
from pipelines.input_pipeline.datasets import build_eval_dataset, build_train_stream
from pipelines.input_pipeline.order import build_order
from pipelines.input_pipeline.tf_data import map_graph
from pipelines.runtime.stderr import suppress_stderr
from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from pipelines.sources.source import Examples, Source
from zoo.errors import InputError
from zoo.preprocessing import Preprocessing
from zoo.tasks import Task


@dataclass(frozen=True)
class Split:
    """The images of one split, ready to become a `tf.data.Dataset`.

    Args:
        name: `train`, `val` or `test`.
        examples: Encoded images and their labels.
        tasks: The classes, or the named tasks.
        preprocessing: Size and fit of the images.
        seed: Of the order and the augmentation.
    """

    name: str
    examples: Examples
    tasks: tuple[Task, ...]
    preprocessing: Preprocessing
    seed: int

    def __len__(self) -> int:
        return len(self.examples)

    def dataset(
        self,
        augment: str | AugmentConfig | None = None,
        *,
        batch_size: int = 32,
        shuffle: bool | None = None,
        cache_mib: int = 1024,
    ) -> Any:
        """Builds a dataset of batches, as `keras.Model.fit` and `evaluate` take it.

        A shuffled dataset yields the batches of `zoo train`: all of one size, cut from
        passes that follow each other without a gap, so an epoch is the fewest batches
        that hold a pass. Each iteration over it is the next epoch, with its own order
        and augmentation, all drawn from the seed.

        Args:
            augment: A policy by its name (`tz.policies`) or in the shorthand, such as
                `flip_lr(0.5)|rotate(15)`; None leaves images as validation sees them.
            batch_size: Images a batch. An unshuffled dataset ends with a smaller one.
            shuffle: Whether the order varies from epoch to epoch; None shuffles the
                training split alone.
            cache_mib: Memory for decoded images, in MiB; if they need more, each epoch
                decodes them anew. 0 keeps none.

        Returns:
            A finite `tf.data.Dataset` of (uint8 [B, S, S, 3], float32 [B, C] one-hot).

        Raises:
            InputError: `augment` with `shuffle=False`.
            RecipeError: `augment` is not in the shorthand, or an argument is out of range.
            UnknownNameError: No such policy or operation.

        Example:
            >>> data = open_data("digits", size=32)
            >>> images, labels = next(iter(data.val.dataset(batch_size=8)))
            >>> images.shape, labels.shape
            (TensorShape([8, 32, 32, 3]), TensorShape([8, 10]))
        """
        shuffle = self.name == "train" if shuffle is None else shuffle
        if augment is not None and not shuffle:
            raise InputError(
                f"augmentation varies the {self.name} images from epoch to epoch",
                expected="augment=None or shuffle=True",
                received=f"augment={str(augment)!r}, shuffle=False",
            )
        if not shuffle:
            return build_eval_dataset(
                self.examples, self.preprocessing, batch_size, self.tasks, cache_mib=cache_mib
            )
        if not isinstance(augment, AugmentConfig):
            augment = AugmentConfig.from_arguments({"policy": augment or "none"})
        config = InputConfig.from_arguments(
            {**dict(self.preprocessing), "batch_size": batch_size, "cache_mib": cache_mib}
        )
        order = build_order(self.examples.labels, batch_size, seed=self.seed)
        stream = build_train_stream(
            self.examples, order, config, augment, tasks=self.tasks, endless=False
        )
        return map_graph(stream.dataset, lambda images, labels, weights: (images, labels))


@dataclass(frozen=True)
class ImageData:
    """A data set, checked and divided.

    Args:
        source: The images, labels and splits.
        preprocessing: Size and fit of the images.
        seed: Of the division, the order and the augmentation.
    """

    source: Source
    preprocessing: Preprocessing
    seed: int

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the one-hot labels."""
        return self.source.class_names

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def train(self) -> Split:
        """The training split."""
        return self.splits["train"]

    @property
    def val(self) -> Split:
        """The validation split."""
        return self.splits["val"]

    @property
    def test(self) -> Split | None:
        """The test split; None if the data set has none and `test_fraction` is 0."""
        return self.splits.get("test")

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name, in the order train, val, test."""
        return {
            name: Split(name, examples, self.source.tasks, self.preprocessing, self.seed)
            for name, examples in self.source.splits.items()
        }


def open_data(
    data: str | Path,
    *,
    size: int = 224,
    fit: Literal["crop", "stretch", "pad"] = "crop",
    interpolation: Literal["bilinear", "bicubic", "lanczos3"] = "bilinear",
    val_fraction: float = 0.2,
    test_fraction: float = 0.0,
    exclude: Sequence[str] = (),
    relabel: str | Path = "",
    seed: int = 0,
) -> ImageData:
    """Reads a data set, decodes every image once, checks it and divides it.

    Args:
        data: A folder of class folders, a .csv file, `tfds:NAME[:CONFIG]`, `signs`,
            `textures` or `digits`.
        size: Height and width of the images, in pixels: the model's,
            `model.input_shape[1]`.
        fit: How an image becomes a square: `crop` keeps the largest centered square,
            `stretch` scales both sides, `pad` fills up with black.
        interpolation: Resampling kernel, antialiased.
        val_fraction: Share of each class for validation if the data set has no
            validation split, between 0 and 1.
        test_fraction: Share of each class for the test split if there is none, 0 to
            below 1.
        exclude: Images to leave out: names, folders or glob patterns.
        relabel: A table that corrects labels; see `pipelines.sources.config.DataConfig`.
        seed: Of the division, the order and the augmentation.

    Raises:
        DataError: It cannot be trained on; the subclasses say why.
        RecipeError: An argument is out of range.
        UnknownNameError: TFDS has no such data set.
    """
    preprocessing = Preprocessing.from_arguments(
        {"size": size, "fit": fit, "interpolation": interpolation}
    )
    config = DataConfig.from_arguments(
        {
            "val_fraction": val_fraction,
            "test_fraction": test_fraction,
            "exclude": tuple(exclude),
            "relabel": str(relabel),
        }
    )
    with suppress_stderr():
        import tensorflow  # noqa: F401
    return ImageData(open_source(str(data), config, seed=seed), preprocessing, seed)
