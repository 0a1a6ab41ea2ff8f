"""Peer of `benchmarks/search.py`: the Keras transfer-learning guide inside KerasTuner.

A frozen backbone in inference mode, augmentation by Keras' layers and a head of Keras'
layers, which `keras_tuner.RandomSearch` builds and fits in every trial. It follows
https://keras.io/guides/transfer_learning, with changes in the guide's favor: decoded
images stay in memory, and two augmentation layers run in tf.data beside the training.
The search space is this project's own, drawn with the same seed, so that both search the
same heads.

    python benchmarks/search_peer.py FOLDER BACKBONE.keras --out RESULT.json

FOLDER has train/ and val/ with one folder for each class; BACKBONE.keras maps float32
[B, S, S, 3] in 0 to 255 to a feature map.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tuning.hyperparameters.default_space import HEAD_SPACE
from tuning.hyperparameters.space import SearchSpace
from zoo.files import write_json

BATCH = 32


def read_images(folder: Path, size: int) -> tuple[Any, Any, int]:
    """Returns the augmented training images, the validation images and the number of classes."""
    import keras
    import tensorflow as tf

    def read(part: str, **options: Any) -> Any:
        return keras.utils.image_dataset_from_directory(
            folder / part,
            label_mode="categorical",
            batch_size=BATCH,
            image_size=(size, size),
            crop_to_aspect_ratio=True,
            verbose=False,
            **options,
        )

    train, val = read("train", seed=0), read("val", shuffle=False)
    num_classes = len(train.class_names)
    layers = [keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)]

    def augment(images: Any, labels: Any) -> Any:
        for layer in layers:
            images = layer(images, training=True)
        return images, labels

    augmented = train.cache().map(augment, num_parallel_calls=tf.data.AUTOTUNE)
    return augmented.prefetch(tf.data.AUTOTUNE), val.cache(), num_classes


def build_optimizer(values: Mapping[str, Any], num_steps: int, per_epoch: int) -> Any:
    """Builds an optimizer with its learning-rate schedule from recipe settings."""
    import keras

    rate, name = values["optimizer.learning_rate"], values["optimizer.name"]
    schedule = values["schedule.name"]
    if schedule == "exponential":
        rate = keras.optimizers.schedules.ExponentialDecay(rate, 20 * per_epoch, 0.1)
    elif schedule == "cosine":
        warmup = round(0.1 * num_steps)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, num_steps - warmup, warmup_target=rate, warmup_steps=warmup
        )
    if name == "nesterov":
        return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
    return {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}[name](rate)


def build_model(
    values: Mapping[str, Any], backbone: Path, num_classes: int, num_steps: int, per_epoch: int
) -> Any:
    """Builds and compiles the guide's model from recipe settings."""
    import keras
    from keras import layers

    base = keras.models.load_model(backbone)
    base.trainable = False
    penalty = keras.regularizers.L1L2(values.get("penalty.l1", 0), values.get("penalty.l2", 0))
    inputs = keras.Input(base.input_shape[1:])
    x = layers.GlobalAveragePooling2D()(base(inputs, training=False))
    x = layers.Dropout(values["head.input_dropout"])(x)
    for units in values["head.hidden"]:
        x = layers.Dense(
            units,
            kernel_initializer=values["head.initializer"],
            kernel_regularizer=penalty,
        )(x)
        if values["head.batch_norm"]:
            x = layers.BatchNormalization()(x)
        x = layers.Activation(values["head.activation"])(x)
        x = layers.Dropout(values["head.dropout"])(x)
    outputs = layers.Dense(num_classes, activation="softmax", kernel_regularizer=penalty)(x)
    model = keras.Model(inputs, outputs)
    optimizer = build_optimizer(values, num_steps, per_epoch)
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    return model


def main(
    folder: Annotated[Path, typer.Argument(help="Folder with train/ and val/.")],
    backbone: Annotated[Path, typer.Argument(help="Keras model from images to a feature map.")],
    out: Annotated[Path, typer.Option(help="The JSON file to write.")],
    trials: int = 3,
    epochs: int = 10,
    seed: int = 0,
) -> None:
    """Searches, and writes each trial's seconds, settings and best validation accuracy."""
    import keras
    import keras_tuner

    space = SearchSpace.from_settings(HEAD_SPACE, list(HEAD_SPACE), lambda values: None)
    size = keras.models.load_model(backbone).input_shape[1]
    train, val, num_classes = read_images(folder, size)
    per_epoch = int(train.cardinality())
    rows: list[dict[str, Any]] = []

    def build(hp: Any) -> Any:
        values = space.decode(hp.values)
        return build_model(values, backbone, num_classes, epochs * per_epoch, per_epoch)

    class TimedRandomSearch(keras_tuner.RandomSearch):
        """Random search that records the duration of each trial."""

        def run_trial(self, trial: Any, *args: Any, **options: Any) -> Any:
            """Runs a trial."""
            started = time.perf_counter()
            results = super().run_trial(trial, *args, **options)
            rows.append(
                {
                    "seconds": time.perf_counter() - started,
                    "accuracy": max(max(r.history["val_accuracy"]) for r in results),
                    "values": space.decode(trial.hyperparameters.values),
                }
            )
            return results

    with tempfile.TemporaryDirectory() as project:
        tuner = TimedRandomSearch(
            build,
            "val_accuracy",
            max_trials=trials,
            # The seed that this project gives its tuner, for the same trials.
            seed=seed + 1,
            hyperparameters=space.build_hyperparameters(),
            tune_new_entries=False,
            allow_new_entries=False,
            directory=project,
        )
        tuner.search(train, epochs=epochs, validation_data=val, verbose=2)
        best = space.decode(tuner.get_best_hyperparameters()[0].values)
    if len(rows) < trials:
        raise RuntimeError(f"{trials - len(rows)} of {trials} trials failed")
    write_json(out, {"trials": rows, "epochs": epochs, "best": best})
    print(json.dumps(best))


if __name__ == "__main__":
    typer.run(main)
