"""Update rules: learning rate, weight decay and penalties, under every optimizer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import ElasticNet, Lasso

from tuning.optimization.optimizer_config import OptimizerConfig, build_optimizer, build_rules
from tuning.optimization.optimizers import OPTIMIZERS
from tuning.optimization.penalties import PenaltyConfig
from tuning.optimization.update_rules import UpdateRule, with_update_rules

IN_KERAS = [name for name, row in OPTIMIZERS.items() if row.keras_class]
WITH_L1 = [name for name, row in OPTIMIZERS.items() if row.step_size]


def _five_steps(optimizer: Any, name: str = "kernel") -> np.ndarray:
    """Five steps from 1 on θ²."""
    variable = keras.Variable(np.ones((2, 1), np.float32), name=name)
    optimizer.build([variable])
    for _ in range(5):
        optimizer.apply([2 * variable.value], [variable])
    return np.asarray(keras.ops.convert_to_numpy(variable))


@pytest.mark.parametrize("name", IN_KERAS)
def test_rate_of_a_rule_equals_that_learning_rate(name: str) -> None:
    config = OptimizerConfig(name=name, learning_rate=0.01, weight_decay=0)
    at_eight_times = build_optimizer(config, rule_of=lambda variable: UpdateRule(rate=8.0))
    moved = _five_steps(at_eight_times)
    assert (moved != 1).all()
    fast = config.model_copy(update={"learning_rate": 0.08})
    np.testing.assert_allclose(moved, _five_steps(build_optimizer(fast)), rtol=1e-6)
    plain = getattr(keras.optimizers, OPTIMIZERS[name].keras_class)
    decay = {"adam_weight_decay": None} if name == "muon" else {}
    theirs = plain(0.01, weight_decay=None, **decay, **OPTIMIZERS[name].arguments)
    np.testing.assert_array_equal(_five_steps(build_optimizer(config)), _five_steps(theirs))


def test_build_rules_gives_each_block_its_rate_decay_and_penalty() -> None:
    depths = {"kernel": 0, "top/kernel": 1, "stem/kernel": 2, "stem/bias": 2, "stem/beta": 2}
    rule_of = build_rules(
        OptimizerConfig(weight_decay=0.1, backbone_weight_decay=0.2),
        PenaltyConfig(name="elastic_net", l1=1e-3, l2=1e-2, backbone_l1=0.0, backbone_l2=2e-2),
        depth_of=lambda variable: depths[variable.path],
        block_decay=0.5,
    )

    class Named:
        def __init__(self, path: str) -> None:
            self.path = path

    assert {path: rule_of(Named(path)) for path in depths} == {
        "kernel": UpdateRule(1.0, 0.1, 1e-3, 1e-2),
        "top/kernel": UpdateRule(0.5, 0.1, 0.0, 2e-2),
        "stem/kernel": UpdateRule(0.25, 0.05, 0.0, 2e-2),
        "stem/bias": UpdateRule(0.25, 0.05, 0.0, 0.0),
        "stem/beta": UpdateRule(0.25, 0.05, 0.0, 0.0),
    }


# A regression whose true weights are 0 in four places and nearly 0 in one.
_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(60, 8))
Y = X @ np.array([2, -1, 0, 0, 0.5, 0, 0, 0.05]) + 0.1 * _RNG.normal(size=60)
RATES = {"momentum": 0.02, "nesterov": 0.02, "sgd": 0.1, "gradient_descent": 0.1, "adagrad": 0.5}
RATES |= {"adadelta": 5.0}


def _regress(name: str, penalty: PenaltyConfig) -> np.ndarray:
    """Fits weights float32 [8] that minimize ‖Y − Xθ‖² / 2N + penalty, by 3,000 steps."""
    x, y = tf.constant(X, tf.float32), tf.constant(Y[:, None], tf.float32)
    peak = RATES.get(name, 0.01)
    config = OptimizerConfig(name=name, weight_decay=0)
    schedule = keras.optimizers.schedules.CosineDecay(peak, 3000)
    optimizer = build_optimizer(config, schedule, rule_of=build_rules(config, penalty))
    kernel = keras.Variable(np.full((8, 1), 0.3, np.float32), name="kernel")
    optimizer.build([kernel])

    @tf.function
    def descend() -> None:
        for _ in tf.range(3000):
            gradient = tf.transpose(x) @ (x @ kernel.value - y) / len(X)
            optimizer.apply([gradient], [kernel])

    descend()
    return np.asarray(kernel.numpy())[:, 0]


@pytest.mark.parametrize("name", WITH_L1)
def test_l1_converges_to_the_lasso_of_scikit_learn_zeros_included(name: str) -> None:
    weights = _regress(name, PenaltyConfig(name="l1", l1=0.1))
    expected = Lasso(alpha=0.1, fit_intercept=False, tol=1e-10).fit(X, Y).coef_
    assert 4 <= (expected == 0).sum() < 8
    np.testing.assert_array_equal(weights == 0, expected == 0)
    np.testing.assert_allclose(weights, expected, atol=1e-3)


@pytest.mark.parametrize("name", WITH_L1)
def test_elastic_net_converges_to_that_of_scikit_learn(name: str) -> None:
    weights = _regress(name, PenaltyConfig(name="elastic_net", l1=0.1, l2=0.05))
    # scikit-learn's penalty: alpha·l1_ratio·Σ|θ| + alpha·(1 − l1_ratio)/2·Σθ².
    theirs = ElasticNet(alpha=0.2, l1_ratio=0.5, fit_intercept=False, tol=1e-10).fit(X, Y).coef_
    np.testing.assert_array_equal(weights == 0, theirs == 0)
    np.testing.assert_allclose(weights, theirs, atol=1e-3)


@pytest.mark.train
def test_l1_regularizer_of_keras_leaves_no_zero() -> None:
    layer = keras.layers.Dense(1, use_bias=False, kernel_regularizer=keras.regularizers.L1(0.1))
    model = keras.Sequential([keras.Input((8,)), layer])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    # Steps on all samples; a hundred epochs of one step each would take far longer.
    model.fit(np.tile(X, (100, 1)), np.tile(Y, 100), batch_size=60, shuffle=False, verbose=0)
    assert (layer.kernel.numpy() != 0).all()


def test_l1_without_a_step_size_raises() -> None:
    optimizer = with_update_rules(keras.optimizers.Lion, lambda variable: UpdateRule(l1=0.1))()
    with pytest.raises(ValueError, match="Lion has no effective step size"):
        _five_steps(optimizer)
