"""Three tasks on `textures`, two of classes and one of a number: trained, exported, served."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipelines.cli.main import run_command
from pipelines.evaluation.predictions import compute_predictions
from pipelines.serving.run import Run
from pipelines.sources.opening.dataset import open_source

# No augmentation: a mirrored texture has another angle.
RECIPE = """
data = { source = "textures" }
augment = { policy = "none" }
backbone = { name = "micro_resnet_s" }
input = { size = 48, batch_size = 64 }
optimizer = { learning_rate = 0.05, weight_decay = 0.005, ema = 0.99 }
schedule = { name = "cosine", warmup = 0.2 }
train = { epochs = 12 }
stopping = { patience = 0 }

[tasks]
texture = { column = "label" }
tint = {}
angle = { kind = "regression" }
"""


@pytest.mark.slow
def test_three_tasks_are_learned_and_predicted_by_the_exported_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, out, to = tmp_path / "recipe.toml", tmp_path / "run", tmp_path / "models" / "three"
    recipe.write_text(RECIPE, encoding="utf-8")
    assert run_command(["train", "--recipe", str(recipe), "--out", str(out)]) == 0
    assert capsys.readouterr().out.count("test: ") == 3
    run = Run.open(out)
    figures = run.metrics["test"]["tasks"]
    assert figures["texture"]["accuracy"] > 0.8
    assert figures["tint"]["accuracy"] > 0.8
    assert figures["angle"]["r2"] > 0.3

    # The export compares all three outputs with the run on all 200 validation images.
    assert run_command(["export", str(out), "--to", str(to)]) == 0
    assert "predicts all 200 within 1e-05" in capsys.readouterr().err
    source = open_source("textures", tasks=run.recipe.unbound_tasks)
    test = source.splits["test"]
    serve = tf.saved_model.load(str(to / "1")).signatures["serving_bytes"]
    served = serve(image_bytes=tf.constant([test.read(index) for index in range(len(test))]))
    own = compute_predictions(run.load_model(), run.recipe, test, run.tasks)
    np.testing.assert_allclose(served["texture_probabilities"], own["texture"], atol=1e-5)
    np.testing.assert_allclose(served["tint_probabilities"], own["tint"], atol=1e-5)
    np.testing.assert_allclose(served["angle_value"], own["angle"][:, 0], atol=1e-3)
    labels = served["texture_top_labels"].numpy()[:, 0].tolist()
    truth = [source.tasks[0].class_names[label].encode() for label in test.targets["texture"]]
    hits = np.mean([one == other for one, other in zip(labels, truth, strict=True)])
    assert hits == pytest.approx(figures["texture"]["accuracy"])

    file = tmp_path / "1.png"
    file.write_bytes(test.read(0))
    capsys.readouterr()
    assert run_command(["predict", str(to), str(file), "--json"]) == 0
    tasks = json.loads(capsys.readouterr().out)["predictions"][0]["tasks"]
    assert tasks["tint"]["classes"][0] == source.tasks[1].class_names[int(own["tint"][0].argmax())]
    assert tasks["angle"]["value"] == pytest.approx(float(own["angle"][0, 0]), abs=1e-3)
