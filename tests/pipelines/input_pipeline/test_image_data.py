"""Image data: datasets for a loop of one's own, from the splits that `zoo train` has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.input_pipeline.image_data import ImageData, open_data
from pipelines.sources.config import DataConfig
from pipelines.sources.opening.dataset import open_source
from zoo.errors import InputError, RecipeError, UnknownNameError


@pytest.fixture(scope="module")
def data(tiny_folder: Path) -> ImageData:
    return open_data(tiny_folder, size=16, test_fraction=0.2, seed=3)


def test_open_data_divides_as_training_does(tiny_folder: Path, data: ImageData) -> None:
    source = open_source(str(tiny_folder), DataConfig(test_fraction=0.2), seed=3)
    assert data.class_names == ("blue", "green", "red")
    assert data.num_classes == 3
    assert list(data.splits) == ["train", "val", "test"]
    for name, split in data.splits.items():
        assert split.examples.names == source.splits[name].names
    assert data.test is not None
    assert open_data(tiny_folder).test is None


def test_val_dataset_yields_images_in_order_with_one_hot_labels(data: ImageData) -> None:
    batches = list(data.val.dataset(batch_size=4))
    images = np.concatenate([images for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    assert images.shape == (len(data.val), 16, 16, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.eye(3)[data.val.examples.labels])


def test_train_dataset_is_another_epoch_each_time_and_the_same_in_a_new_one(
    data: ImageData,
) -> None:
    policy = "flip_lr(0.5)|rotate(15)"
    dataset, again = (data.train.dataset(policy, batch_size=8) for _ in range(2))
    epochs = [np.stack([images for images, _ in dataset]) for _ in range(2)]
    assert epochs[0].shape == (-(-len(data.train) // 8), 8, 16, 16, 3)
    assert int(dataset.cardinality()) == len(epochs[0])
    assert not np.array_equal(*epochs)
    for epoch in epochs:
        np.testing.assert_array_equal(epoch, np.stack([images for images, _ in again]))


def test_train_dataset_without_augmentation_shows_every_image_as_validation_does(
    data: ImageData,
) -> None:
    batch_size = len(data.train)
    ((shuffled, _),) = data.train.dataset(batch_size=batch_size)
    ((ordered, _),) = data.train.dataset(batch_size=batch_size, shuffle=False)
    as_rows = [sorted(image.tobytes() for image in np.asarray(i)) for i in (shuffled, ordered)]
    assert as_rows[0] == as_rows[1]
    assert not np.array_equal(shuffled, ordered)


def test_dataset_refuses_what_it_cannot_do(data: ImageData) -> None:
    with pytest.raises(InputError, match="expected augment=None or shuffle=True"):
        data.val.dataset("flip_lr")
    with pytest.raises(UnknownNameError, match="Did you mean 'flip_lr'"):
        data.train.dataset("flip_rl")
    with pytest.raises(RecipeError, match="the policy is not valid shorthand"):
        data.train.dataset("flip_lr(")
    with pytest.raises(RecipeError, match="batch_size does not fit; expected greater than"):
        data.train.dataset(batch_size=0)


def test_open_data_refuses_shares_out_of_range(tiny_folder: Path) -> None:
    with pytest.raises(RecipeError, match="val_fraction does not fit; expected less than 1"):
        open_data(tiny_folder, val_fraction=2.0)
    with pytest.raises(RecipeError, match="leave nothing to train on; expected a sum below 1"):
        open_data(tiny_folder, val_fraction=0.6, test_fraction=0.5)
