"""Effective step size of each weight, to scale the proximal L1 step.

The effective step size is the distance by which an optimizer moves a weight whose gradient
stays at 1. Scaled by it, the L1 step holds a weight at 0 for as long as the gradient, averaged
as the optimizer averages it, is smaller than the penalty. Each function computes it from the
slots of a Keras optimizer: as a number, or as a tensor of the variable's shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zoo.private_api import optimizer_slot


@dataclass(frozen=True)
class Step:
    """The step of one variable that an optimizer has just taken.

    Args:
        optimizer: A Keras optimizer.
        index: The variable's position among those the optimizer trains.
        variable: The variable, after the step.
        rate: The variable's learning rate η.
        unit_momentum: With momentum, the momentum of a gradient that stays at 1; else None.
    """

    optimizer: Any
    index: int
    variable: Any
    rate: Any
    unit_momentum: Any = None

    def slot(self, name: str) -> Any:
        """Returns the variable's slot of a name, one of `zoo.private_api.OPTIMIZER_SLOTS`."""
        return optimizer_slot(self.optimizer, name, self.index)

    @property
    def number(self) -> Any:
        """t, counted from 1, a float32 scalar. Keras counts a step at its end."""
        from keras import ops

        return ops.cast(self.optimizer.iterations + 1, "float32")

    @property
    def second_moment(self) -> Any:
        """ŝ = s / (1 − β₂ᵗ), the bias-corrected average of squared gradients."""
        return self.slot("velocities") / (1 - self.optimizer.beta_2**self.number)


def plain(step: Step) -> Any:
    """Gradient descent: η."""
    return step.rate


def heavy_ball(step: Step) -> Any:
    """Momentum: r ← βr + η, the momentum of a gradient of 1; Nesterov momentum: βr + η.

    At a constant rate r converges to η / (1 − β). Where a schedule lowers the rate, r follows
    it with the same delay as the momentum itself.
    """
    ahead = step.optimizer.momentum * step.unit_momentum + step.rate
    return ahead if step.optimizer.nesterov else step.unit_momentum.value


def adagrad(step: Step) -> Any:
    """AdaGrad: η / √(s + ε)."""
    return _divide_by_root(step, "accumulators")


def adadelta(step: Step) -> Any:
    """AdaDelta: η·√(d + ε) / √(s + ε), d and s the averages of squared steps and gradients."""
    from keras import ops

    steps = ops.sqrt(step.slot("accumulated_delta_vars") + step.optimizer.epsilon)
    return steps * _divide_by_root(step, "accumulated_grads")


def rmsprop(step: Step) -> Any:
    """RMSProp: η / √(s + ε)."""
    return _divide_by_root(step, "velocities")


def adam(step: Step) -> Any:
    """Adam: η·√(1 − β₂ᵗ) / (√s + ε), with Keras' form of the bias correction."""
    from keras import ops

    correction = ops.sqrt(1 - step.optimizer.beta_2**step.number)
    return step.rate * correction / (ops.sqrt(step.slot("velocities")) + step.optimizer.epsilon)


def nadam(step: Step) -> Any:
    """Nadam: η / (√ŝ + ε)."""
    from keras import ops

    return step.rate / (ops.sqrt(step.second_moment) + step.optimizer.epsilon)


def adamax(step: Step) -> Any:
    """AdaMax: η / (u + ε), u the decayed maximum of absolute gradients."""
    return step.rate / (step.slot("u") + step.optimizer.epsilon)


def lamb(step: Step) -> Any:
    """LAMB: Adam's, times the norm of the weights over the norm of the update."""
    from keras import ops

    scale = 1 / (ops.sqrt(step.second_moment) + step.optimizer.epsilon)
    momentum = step.slot("momentums") / (1 - step.optimizer.beta_1**step.number)
    weights, update = ops.norm(step.variable), ops.norm(momentum * scale)
    both = ops.logical_and(weights > 0, update > 0)
    return step.rate * scale * ops.where(both, weights / ops.where(both, update, 1.0), 1.0)


def _divide_by_root(step: Step, slot: str) -> Any:
    from keras import ops

    return step.rate / ops.sqrt(step.slot(slot) + step.optimizer.epsilon)
