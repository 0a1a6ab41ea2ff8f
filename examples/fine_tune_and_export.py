"""Fine-tune a pretrained backbone, look at the metrics, export, and predict with the export.

    python examples/fine_tune_and_export.py [FOLDER]

Writes into FOLDER (runs/example_fine_tune if left out). The images are `digits`, which come
with the project; a folder of class folders would stand in their place.
"""

from __future__ import annotations

import sys
from pathlib import Path

import transfer_zoo as tz


def main(folder: Path) -> None:
    """Trains, exports and predicts."""
    recipe = tz.Recipe.for_data("digits", backbone="micro_resnet_s.cifar10").override(
        {
            "data.train_per_class": 40,
            "data.test_fraction": 0.2,
            "train.epochs": 10,
            "fine_tune.blocks": 1,  # after the head, the backbone's top block with it
            "fine_tune.epochs": 2,
        }
    )
    run = tz.train("digits", recipe, out=folder / "run")
    test = run.metrics["test"]
    low, high = test["accuracy_interval"]
    print(f"test accuracy {test['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f})")
    worst = min(test["per_class"].items(), key=lambda item: item[1]["recall"])
    print(f"lowest recall: {worst[0]}, {worst[1]['recall']:.3f}")

    # A fresh process compares the export with the run before it counts.
    version = run.export(folder / "saved_models" / "digits")
    image = folder / "digit.png"
    save_first_test_image(image)
    print(f"{version}: {tz.predict(folder / 'saved_models' / 'digits', [image], top=3)[0]}")


def save_first_test_image(file: Path) -> None:
    """Writes an image that the run has not seen."""
    from PIL import Image

    data = tz.open_data("digits", size=32, test_fraction=0.2)
    images, _ = next(iter(data.test.dataset(batch_size=1)))
    Image.fromarray(images[0].numpy()).save(file)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example_fine_tune"))
