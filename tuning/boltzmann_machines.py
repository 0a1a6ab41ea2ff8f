"""Stacked restricted Boltzmann machines: layers that learn, one on the other, without labels.

A machine of visible units v and hidden units h in 0 or 1 has the energy
-vᵀWh - bᵀv - cᵀh. Its gradient is the difference of vᵀh between data and what the
machine itself dreams, which a chain that is kept from step to step samples (persistent
contrastive divergence, Tieleman, 2008, https://doi.org/10.1145/1390156.1390290, which
contrastive divergence, Hinton, 2002, starts anew at the data). The steps are
scikit-learn's; here machines are stacked: each takes for data the probabilities of
the units below (Hinton, Osindero and Teh, 2006,
https://doi.org/10.1162/neco.2006.18.7.1527).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

Array = npt.NDArray[np.float32]

# What scikit-learn's steps read and change.
_STATE = {
    "kernel": "components_",
    "visible": "intercept_visible_",
    "hidden": "intercept_hidden_",
    "chain": "h_samples_",
}
# A pixel that is always black would ask for an infinite bias.
_CERTAIN = 0.01


class BoltzmannStack:
    """Machines from the pixels up, of which the lowest that is not done is trained.

    Args:
        data: float32 [N, V] in 0 to 1, the training images.
        units: Hidden units of each machine.
        learning_rate: Of every step, above 0; 0.1 and less is usual.
        batch_size: Images a step; fewer where there are not so many.
        seed: Of initial weights, order and samples.
    """

    def __init__(
        self, data: Array, units: Sequence[int], *, learning_rate: float, batch_size: int, seed: int
    ) -> None:
        self.data = data
        self.units = tuple(units)
        self.learning_rate = learning_rate
        self.batch_size = min(batch_size, len(data))
        self.seed = seed
        self.machines: list[Any] = []
        self._below = data

    def train_epoch(self, layer: int, epoch: int) -> None:
        """Shows every image to a machine once, whole batches of them, in a new order.

        Args:
            layer: The machine, from 0; those below have to be there.
            epoch: From 0, in this layer; makes the draws.
        """
        if layer == len(self.machines):
            self._add()
        machine, rng = self.machines[layer], self._draws(layer, 1 + epoch)
        machine.random_state_ = rng
        # A shorter batch would not go with a chain of whole ones; another is short next time.
        whole = len(self._below) // self.batch_size * self.batch_size
        order = rng.permutation(len(self._below))[:whole]
        for batch in order.reshape(-1, self.batch_size):
            machine.partial_fit(self._below[batch])

    def up(self, visible: Array, layers: int | None = None) -> Array:
        """Returns the probabilities of a layer's units.

        Args:
            visible: float32 [N, V] in 0 to 1.
            layers: How many machines to go up; left out, all.
        """
        for machine in self.machines[:layers]:
            visible = expit(visible @ machine.components_.T + machine.intercept_hidden_)
        return visible

    def restore(self, visible: Array) -> Array:
        """Returns images as the stack sees them: up through all machines and down again."""
        hidden = self.up(visible)
        for machine in reversed(self.machines):
            hidden = expit(hidden @ machine.components_ + machine.intercept_visible_)
        return hidden

    def weights(self) -> list[tuple[Array, Array]]:
        """Returns each machine's kernel [V, H] and hidden biases [H], as a dense layer has them."""
        return [(machine.components_.T, machine.intercept_hidden_) for machine in self.machines]

    def state(self) -> dict[str, Array]:
        """Returns what `load` needs."""
        return {
            f"{name}_{number}": getattr(machine, attribute)
            for number, machine in enumerate(self.machines)
            for name, attribute in _STATE.items()
        }

    def load(self, state: Mapping[str, Array]) -> None:
        """Goes on from where another stack stood."""
        for number in range(sum(name.startswith("chain_") for name in state)):
            self._add()
            for name, attribute in _STATE.items():
                setattr(self.machines[number], attribute, state[f"{name}_{number}"])

    def _add(self) -> None:
        """Puts a new machine on top, whose visible units start as frequent as they are."""
        from sklearn.neural_network import BernoulliRBM

        layer = len(self.machines)
        self._below = self.up(self.data)
        machine = BernoulliRBM(
            self.units[layer], learning_rate=self.learning_rate, batch_size=self.batch_size
        )
        draws, visible = self._draws(layer, 0), self._below.shape[1]
        machine.components_ = draws.normal(0, 0.01, (self.units[layer], visible)).astype(np.float32)
        mean = np.clip(self._below.mean(axis=0), _CERTAIN, 1 - _CERTAIN)
        machine.intercept_visible_ = logit(mean).astype(np.float32)
        machine.intercept_hidden_ = np.zeros(self.units[layer], np.float32)
        machine.h_samples_ = np.zeros((self.batch_size, self.units[layer]), np.float32)
        self.machines.append(machine)

    def _draws(self, layer: int, number: int) -> np.random.RandomState:
        sequence = np.random.SeedSequence([self.seed, layer, number])
        return np.random.RandomState(np.random.MT19937(sequence))
