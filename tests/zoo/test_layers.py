"""Custom layers: slopes of RReLU, gradient of the step, and loading."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy import stats

from tests.support.lean_import import WITHOUT_THEM
from zoo.layers import RandomizedLeakyReLU, StraightThroughStep


def test_rrelu_draws_a_slope_for_every_unit_and_example() -> None:
    keras.utils.set_random_seed(0)
    layer = RandomizedLeakyReLU()
    inputs = np.full((200, 50), -2.0, np.float32)
    first, second = (np.asarray(layer(inputs, training=True)) / -2 for _ in range(2))
    uniform = stats.uniform(1 / 8, 1 / 3 - 1 / 8)
    assert stats.kstest(first.ravel(), uniform.cdf).pvalue > 1e-3
    # Slopes differ between columns, rows and calls.
    assert len(np.unique(first)) > 0.99 * first.size
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_rrelu_uses_the_mean_slope_in_inference_and_keeps_positive_values() -> None:
    layer = RandomizedLeakyReLU(lower=0.1, upper=0.3)
    inputs = np.array([[-1.0, -4.0, 0.0, 3.0]], np.float32)
    np.testing.assert_allclose(layer(inputs), [[-0.2, -0.8, 0.0, 3.0]], rtol=1e-6)
    np.testing.assert_array_equal(layer(inputs, training=True)[:, 2:], inputs[:, 2:])


def test_rrelu_repeats_with_the_same_seed() -> None:
    inputs = np.full((4, 4), -1.0, np.float32)
    one, other = (RandomizedLeakyReLU(seed=3)(inputs, training=True) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("slopes", [(0.5, 0.1), (-0.1, 0.1), (0.1, 1.5)])
def test_rrelu_rejects_slopes_out_of_order(slopes: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"0 <= lower <= upper <= 1.*Received: lower="):
        RandomizedLeakyReLU(*slopes)


def test_step_trains_the_layers_below() -> None:
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(256, 2)).astype(np.float32)
    labels = (inputs.sum(axis=1) > 0).astype(np.float32)
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(1), StraightThroughStep()],
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = np.mean((np.asarray(model(inputs))[:, 0] - labels) ** 2)
    model.fit(np.tile(inputs, (20, 1)), np.tile(labels, 20), verbose=0)
    after = np.mean((np.asarray(model(inputs))[:, 0] - labels) ** 2)
    assert after < min(0.1, before)


@pytest.mark.train
def test_layers_survive_saving_and_load_after_their_import(tmp_path: Path, root: Path) -> None:
    layers = [RandomizedLeakyReLU(0.1, 0.2, seed=7), StraightThroughStep()]
    files = []
    for layer in layers:
        inputs = keras.Input((3,))
        model = keras.Model(inputs, layer(inputs))
        files.append(f"{layer.name}.keras")
        model.save(tmp_path / files[-1])
        again = keras.models.load_model(tmp_path / files[-1])
        assert again.layers[-1].get_config() == layer.get_config()
    code = WITHOUT_THEM + (
        "import sys, keras\n"
        "for file in sys.argv[1:]:\n"
        "    try:\n"
        "        keras.models.load_model(file)\n"
        "    except TypeError as error:\n"
        "        assert 'Could not locate class' in str(error), error\n"
        "    else:\n"
        "        sys.exit(f'{file} loaded without the layer')\n"
        f"sys.path.insert(0, {str(root)!r})\n"
        "import zoo.layers\n"
        "for file in sys.argv[1:]:\n"
        "    keras.models.load_model(file)\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code, *files], cwd=tmp_path, check=True)
