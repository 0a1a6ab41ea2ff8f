"""Rates: a learning rate of its own for each variable, under any of Keras' optimizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def with_rates(optimizer_class: type, factor_of: Callable[[Any], float]) -> type:
    """Returns an optimizer class that scales the learning rate variable by variable.

    The step of a variable is that of the class itself at `factor × learning rate`.
    Unlike a factor on the gradient, it also holds for optimizers that divide the
    gradient's size out, as Adam does. Decoupled weight decay stays what it was: the
    learning rate's, without the factor.

    Args:
        optimizer_class: A class of `keras.optimizers`.
        factor_of: Maps a `keras.Variable` to its factor, at least 0; asked once for
            each, when the optimizer is built.
    """

    class WithRates(optimizer_class):
        """The optimizer, at a rate for each variable."""

        def build(self, variables: list[Any]) -> None:
            """Prepares for training these variables."""
            super().build(variables)
            self._factors = [float(factor_of(variable)) for variable in variables]

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            """Takes one step of one variable."""
            factor = self._factors[self._get_variable_index(variable)]
            super().update_step(gradient, variable, learning_rate * factor)

    WithRates.__name__ = optimizer_class.__name__
    return WithRates
