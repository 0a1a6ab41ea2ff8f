"""Rules: for each variable its own rate, penalty and decay, under any of Keras' optimizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tuning.optimization.penalties import soft_threshold
from tuning.optimization.proximal_steps import Step


@dataclass(frozen=True)
class UpdateRule:
    """How one variable is trained, beside the optimizer's own step.

    Each is a number, or a tensor that broadcasts against the variable.

    Args:
        rate: Factor on the learning rate, at least 0.
        weight_decay: Share taken away at each step, times the learning rate without
            `rate`.
        l1: Strength of Σ|θ|, at least 0.
        l2: Strength of Σθ², at least 0.
    """

    rate: Any = 1.0
    weight_decay: Any = 0.0
    l1: Any = 0.0
    l2: Any = 0.0


RuleOf = Callable[[Any], UpdateRule]
StepSize = Callable[[Step], Any]


def with_rules(optimizer_class: type, rule_of: RuleOf, step_size: StepSize | None = None) -> type:
    """Returns an optimizer class that trains each variable by its rule.

    The step of a variable is, in this order:

    1. decay: θ ← θ − η·decay·θ, apart from the gradient (Loshchilov and Hutter, 2019,
       https://arxiv.org/abs/1711.05101);
    2. the class' own step at rate·η, on g + 2·l2·θ: the gradient of the loss with its
       L2 penalty;
    3. θ ← sign(θ)·max(|θ| − rate·s·l1, 0), the proximal step of the L1 penalty, where s
       is how far the optimizer moves this weight for a lasting gradient of one. So
       weights become exactly 0, and where training comes to rest, it does so where
       the loss with its penalty has no downward direction: |g| ≤ l1 at a zero,
       g = −l1·sign(θ) elsewhere (Parikh and Boyd, 2014, "Proximal Algorithms",
       section 4.2; with a step for every weight, Yun et al., 2021,
       https://arxiv.org/abs/2102.07869).

    A factor on the rate, unlike one on the gradient, also holds for optimizers that
    divide the gradient's size out, as Adam does. Penalties are in the step and not in
    the loss: training and validation report the same figure, and Keras' own L1, added to
    the loss, leaves no weight at 0.

    Args:
        optimizer_class: A class of `keras.optimizers`.
        rule_of: Maps a `keras.Variable` to its rule; asked once for each, when the
            optimizer is built.
        step_size: Maps the number of steps taken to s, one of
            `tuning.optimization.proximal_steps`; needed where a rule has an L1.
    """
    from keras import ops

    class WithRules(optimizer_class):
        """The optimizer, with a rule for each variable."""

        def build(self, variables: list[Any]) -> None:
            """Prepares for training these variables."""
            super().build(variables)
            self._rules = [rule_of(variable) for variable in variables]
            # What momentum has made of past learning rates, for `step_sizes.heavy_ball`.
            self._reaches = [
                self.add_variable(tuple(ops.shape(rule.l1)), name="reach")
                if _given(rule.l1) and getattr(self, "momentum", None)
                else None
                for rule in self._rules
            ]

        def _apply_weight_decay(self, variables: list[Any]) -> None:
            """Leaves it to the rules."""

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            """Takes one step of one variable."""
            index = self._get_variable_index(variable)
            rule = self._rules[index]
            if _given(rule.weight_decay):
                self.assign_sub(variable, variable * rule.weight_decay * learning_rate)
            if _given(rule.l2):
                gradient = gradient + 2 * rule.l2 * variable
            rate = learning_rate * rule.rate
            super().update_step(gradient, variable, rate)
            if _given(rule.l1):
                if step_size is None:
                    raise ValueError(f"{optimizer_class.__name__} has no proximal step.")
                if (reach := self._reaches[index]) is not None:
                    self.assign(reach, self.momentum * reach + rate)
                shrink = rule.l1 * step_size(Step(self, index, rate))
                self.assign(variable, soft_threshold(variable, shrink))

    WithRules.__name__ = optimizer_class.__name__
    return WithRules


def _given(strength: Any) -> bool:
    return not (isinstance(strength, (int, float)) and strength == 0)
