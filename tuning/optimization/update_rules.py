"""Learning rate, weight decay and penalties for each variable, under any Keras optimizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tuning.optimization.penalties import soft_threshold
from tuning.optimization.proximal_steps import Step
from zoo.private_api import optimizer_base, variable_index


@dataclass(frozen=True)
class UpdateRule:
    """How one variable is updated, in addition to the optimizer's own step.

    Each value is a number, or a tensor that broadcasts against the variable.

    Args:
        rate: Factor on the learning rate, at least 0.
        weight_decay: Fraction of the variable subtracted at each step, times the learning
            rate; `rate` does not apply to it.
        l1: Strength of Σ|θ|, at least 0.
        l2: Strength of Σθ², at least 0.
    """

    rate: Any = 1.0
    weight_decay: Any = 0.0
    l1: Any = 0.0
    l2: Any = 0.0


RuleOf = Callable[[Any], UpdateRule]
StepSize = Callable[[Step], Any]


def with_update_rules(
    optimizer_class: type, rule_of: RuleOf, step_size: StepSize | None = None
) -> type:
    """Returns a subclass of an optimizer that updates each variable by its own rule.

    A step of a variable consists of, in this order:

    1. decoupled weight decay: θ ← θ − η·decay·θ (Loshchilov and Hutter, 2019,
       https://arxiv.org/abs/1711.05101);
    2. the optimizer's own step at learning rate rate·η, on g + 2·l2·θ: the gradient of the
       loss with its L2 penalty;
    3. the proximal step of the L1 penalty, θ ← sign(θ)·max(|θ| − s·l1, 0), where s is the
       effective step size at rate·η (see `tuning.optimization.proximal_steps`). Weights become
       exactly 0, and training converges to a stationary point of the penalized loss: |g| ≤ l1
       at a zero, g = −l1·sign(θ) elsewhere (Parikh and Boyd, 2014, "Proximal Algorithms",
       section 4.2; with a step size for each weight, Yun et al., 2021,
       https://arxiv.org/abs/2102.07869).

    `rate` scales the learning rate and not the gradient, since optimizers such as Adam divide
    by the gradient's magnitude. Penalties are part of the step and not of the loss, so training
    and validation report the same quantity; Keras' own L1 penalty, a term of the loss, leaves no
    weight at 0.

    Args:
        optimizer_class: A class of `keras.optimizers`.
        rule_of: Maps a `keras.Variable` to its rule; called once for each variable, when the
            optimizer is built.
        step_size: Computes s, one of the functions of `tuning.optimization.proximal_steps`;
            required if a rule has an L1 penalty.

    Raises:
        ValueError: On the first step, if a rule has an L1 penalty and `step_size` is None.
    """
    from keras import ops

    class WithUpdateRules(optimizer_base(optimizer_class)):  # type: ignore[misc]
        """The optimizer, with a rule for each variable."""

        def build(self, variables: list[Any]) -> None:
            """Creates the optimizer's variables."""
            super().build(variables)
            self._rules = [rule_of(variable) for variable in variables]
            # The momentum of a gradient that stays at 1, for `proximal_steps.heavy_ball`.
            self._unit_momentums = [
                self.add_variable(tuple(ops.shape(rule.l1)), name="unit_momentum")
                if _is_set(rule.l1) and getattr(self, "momentum", None)
                else None
                for rule in self._rules
            ]

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            """Updates one variable."""
            index = variable_index(self, variable)
            rule = self._rules[index]
            if _is_set(rule.weight_decay):
                self.assign_sub(variable, variable * rule.weight_decay * learning_rate)
            if _is_set(rule.l2):
                gradient = gradient + 2 * rule.l2 * variable
            rate = learning_rate * rule.rate
            super().update_step(gradient, variable, rate)
            if _is_set(rule.l1):
                if step_size is None:
                    raise ValueError(
                        f"{optimizer_class.__name__} has no effective step size for an L1 penalty"
                    )
                unit_momentum = self._unit_momentums[index]
                if unit_momentum is not None:
                    self.assign(unit_momentum, self.momentum * unit_momentum + rate)
                step = Step(self, index, variable, rate, unit_momentum)
                self.assign(variable, soft_threshold(variable, rule.l1 * step_size(step)))

    WithUpdateRules.__name__ = optimizer_class.__name__
    return WithUpdateRules


def _is_set(value: Any) -> bool:
    """Whether a rule's value has an effect: tensors always, numbers if they are not 0."""
    return not (isinstance(value, (int, float)) and value == 0)
