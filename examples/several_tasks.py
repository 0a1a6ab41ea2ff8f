"""Learn several things about an image from a CSV file: a class, a color, and a number.

    python examples/several_tasks.py [FOLDER]

Writes 120 small drawings and the table of what they show, then trains one network with a head
for each column.
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

import transfer_zoo as tz

TASKS = {"shape": {}, "color": {}, "size": {"kind": "regression"}}


def draw(folder: Path, count: int = 120) -> Path:
    """Writes the drawings, and the table with a column for each task."""
    folder.mkdir(parents=True)
    rng = random.Random(0)
    table = folder / "drawings.csv"
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", *TASKS])
        for number in range(count):
            shape, color = rng.choice(("disk", "square")), rng.choice(("red", "green", "blue"))
            size = rng.randint(8, 28)
            image = Image.new("RGB", (32, 32), "white")
            pen = ImageDraw.Draw(image)
            box = (16 - size // 2, 16 - size // 2, 16 + size // 2, 16 + size // 2)
            (pen.ellipse if shape == "disk" else pen.rectangle)(box, fill=color)
            image.save(folder / f"{number}.png")
            rows.writerow([f"{number}.png", shape, color, size])
    return table


def main(folder: Path) -> None:
    """Trains, and predicts one drawing."""
    table = draw(folder / "drawings")
    recipe = tz.Recipe.for_data(
        table, backbone="micro_resnet_s.cifar10", settings={"tasks": TASKS}
    ).override({"augment.policy": "none", "head.hidden": [64], "optimizer.learning_rate": 0.03})
    run = tz.train(table, recipe, out=folder / "run")
    tasks = run.metrics["val"]["tasks"]
    print(f"shape {tasks['shape']['accuracy']:.2f}, color {tasks['color']['accuracy']:.2f}")
    print(f"size: mean absolute error {tasks['size']['mae']:.1f} pixels")
    print(run.predict([table.parent / "0.png"])[0])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example_tasks"))
