"""Bring your own `fit`: the data, the model and the optimizer as parts for plain Keras.

python examples/own_training_loop.py
"""

from __future__ import annotations

import keras

import transfer_zoo as tz


def main() -> None:
    """Trains a head on a frozen backbone, and measures it on the test split."""
    keras.utils.set_random_seed(0)
    data = tz.open_data("digits", size=32, test_fraction=0.2, seed=0)
    train = data.train.dataset(augment="crop(0.8, aspect=1.1)", batch_size=64)

    model = tz.build_classifier(
        "micro_resnet_s.cifar10",
        num_classes=data.num_classes,
        size=32,
        head={"hidden": [128], "dropout": 0.2},
    )
    print(model.count_params(), "weights in", len(model.layers), "layers")
    model.compile(
        tz.build_optimizer("adamw", learning_rate=1e-2),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    # The dataset has its own order, which (seed, pass, index) decides.
    model.fit(train, validation_data=data.val.dataset(), epochs=5, shuffle=False, verbose=2)

    loss, accuracy = model.evaluate(data.test.dataset(), verbose=0)
    print(f"test: loss {loss:.3f}, accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
