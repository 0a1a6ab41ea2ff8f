"""Step sizes: how far an optimizer moves each weight for a lasting gradient of one.

What the proximal step of an L1 penalty is measured in: a weight at 0 stays there as long
as the gradient, as the optimizer has averaged it, is smaller than the penalty. Each
function returns a number, or a tensor of the variable's shape, from what Keras'
optimizers keep of past gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """A step that an optimizer has just taken.

    Args:
        optimizer: A Keras optimizer.
        index: Of the variable, among those the optimizer was built with.
        rate: The variable's learning rate.
    """

    optimizer: Any
    index: int
    rate: Any

    def kept(self, name: str) -> Any:
        """Returns what the optimizer keeps for the variable under a name."""
        return getattr(self.optimizer, name)[self.index]

    @property
    def number(self) -> Any:
        """t, from 1, a float32 scalar: the optimizer counts a step when it is complete."""
        from keras import ops

        return ops.cast(self.optimizer.iterations + 1, "float32")

    @property
    def squares(self) -> Any:
        """ŝ = s / (1 − β₂ᵗ), the average of squared gradients without its bias."""
        return self.kept("_velocities") / (1 - self.optimizer.beta_2**self.number)


def plain(step: Step) -> Any:
    """Gradient descent: η."""
    return step.rate


def heavy_ball(step: Step) -> Any:
    """Momentum: r ← βr + η, what m is for a lasting gradient of one; Nesterov: βr + η.

    At a constant rate it comes to η / (1 − β). Keras' m is made of the rates of its time,
    and so is r: where a schedule lowers them, both come down together.
    """
    reach = step.kept("_reaches")
    ahead = step.optimizer.momentum * reach + step.rate
    return ahead if step.optimizer.nesterov else reach.value


def adagrad(step: Step) -> Any:
    """η / √(s + ε)."""
    return _over_root(step, "_accumulators")


def adadelta(step: Step) -> Any:
    """η·√(d + ε) / √(s + ε), d and s the averages of squared steps and gradients."""
    from keras import ops

    steps = ops.sqrt(step.kept("_accumulated_delta_vars") + step.optimizer.epsilon)
    return steps * _over_root(step, "_accumulated_grads")


def rmsprop(step: Step) -> Any:
    """η / √(s + ε)."""
    return _over_root(step, "_velocities")


def adam(step: Step) -> Any:
    """η·√(1 − β₂ᵗ) / (√s + ε), as Keras corrects the bias."""
    from keras import ops

    correction = ops.sqrt(1 - step.optimizer.beta_2**step.number)
    return step.rate * correction / (ops.sqrt(step.kept("_velocities")) + step.optimizer.epsilon)


def nadam(step: Step) -> Any:
    """η / (√ŝ + ε)."""
    from keras import ops

    return step.rate / (ops.sqrt(step.squares) + step.optimizer.epsilon)


def adamax(step: Step) -> Any:
    """η / (u + ε), u the largest gradient seen."""
    return step.rate / (step.kept("_u") + step.optimizer.epsilon)


def lamb(step: Step) -> Any:
    """Adam's, scaled to the length of the weights over that of the update."""
    from keras import ops

    scale = 1 / (ops.sqrt(step.squares) + step.optimizer.epsilon)
    momentum = step.kept("_momentums") / (1 - step.optimizer.beta_1**step.number)
    weights, update = ops.norm(step.kept("_trainable_variables")), ops.norm(momentum * scale)
    both = ops.logical_and(weights > 0, update > 0)
    return step.rate * scale * ops.where(both, weights / ops.where(both, update, 1.0), 1.0)


def _over_root(step: Step, kept: str) -> Any:
    from keras import ops

    return step.rate / ops.sqrt(step.kept(kept) + step.optimizer.epsilon)
