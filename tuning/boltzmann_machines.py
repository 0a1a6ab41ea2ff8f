"""Stacked restricted Boltzmann machines, trained layer by layer without labels.

A restricted Boltzmann machine of visible units v and hidden units h, both 0 or 1, has the energy
-vᵀWh - bᵀv - cᵀh. The gradient of its log-likelihood is the difference between the mean of vᵀh
under the data and under the model. Persistent contrastive divergence (Tieleman, 2008,
https://doi.org/10.1145/1390156.1390290) samples the model by a Markov chain that continues from
step to step; contrastive divergence (Hinton, 2002) restarts the chain at the data. The steps are
those of `sklearn.neural_network.BernoulliRBM`. Here machines are stacked: each is trained on the
hidden probabilities of the one below (Hinton, Osindero and Teh, 2006,
https://doi.org/10.1162/neco.2006.18.7.1527).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

Array = npt.NDArray[np.float32]

# The attributes that BernoulliRBM's steps read and change, by their name in `state`.
_STATE = {
    "kernel": "components_",
    "visible": "intercept_visible_",
    "hidden": "intercept_hidden_",
    "chain": "h_samples_",
}
# Bound on the mean of a pixel: the bias of a pixel that is always black would be infinite.
_MIN_MEAN = 0.01


class BoltzmannStack:
    """A stack of restricted Boltzmann machines, the lowest one on the pixels.

    Args:
        data: float32 [N, V] in 0 to 1, the training images.
        units: Hidden units of each machine, from the lowest.
        learning_rate: The learning rate, above 0; usually at most 0.1.
        batch_size: Images per step; at most N are used.
        seed: Seeds the initial weights, the order of images and the samples.
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
        self._inputs = data

    def train_epoch(self, layer: int, epoch: int) -> None:
        """Trains one machine for an epoch, on whole batches in a new order.

        Args:
            layer: The machine, counted from 0; those below have been trained before.
            epoch: The epoch of this machine, counted from 0; seeds the order and the samples.
        """
        if layer == len(self.machines):
            self._add_machine()
        machine, rng = self.machines[layer], self._generator(layer, 1 + epoch)
        machine.random_state_ = rng
        # The chain has as many samples as a batch, so a last, smaller batch is dropped; in the
        # next epoch it consists of other images.
        num_images = len(self._inputs) // self.batch_size * self.batch_size
        order = rng.permutation(len(self._inputs))[:num_images]
        for batch in order.reshape(-1, self.batch_size):
            machine.partial_fit(self._inputs[batch])

    def encode(self, visible: Array) -> Array:
        """Computes the hidden probabilities of the topmost machine.

        Args:
            visible: float32 [N, V] in 0 to 1.

        Returns:
            float32 [N, H].
        """
        for machine in self.machines:
            visible = expit(visible @ machine.components_.T + machine.intercept_hidden_)
        return visible

    def reconstruct(self, visible: Array) -> Array:
        """Encodes images and decodes them again, by probabilities; float32 [N, V]."""
        hidden = self.encode(visible)
        for machine in reversed(self.machines):
            hidden = expit(hidden @ machine.components_ + machine.intercept_visible_)
        return hidden

    def weights(self) -> list[tuple[Array, Array]]:
        """Returns each machine's kernel [V, H] and hidden biases [H], as of a dense layer."""
        return [(machine.components_.T, machine.intercept_hidden_) for machine in self.machines]

    def state(self) -> dict[str, Array]:
        """Returns the state, for `restore`."""
        return {
            f"{name}_{layer}": getattr(machine, attribute)
            for layer, machine in enumerate(self.machines)
            for name, attribute in _STATE.items()
        }

    def restore(self, state: Mapping[str, Array]) -> None:
        """Continues from a state that `state` returned."""
        for layer in range(sum(name.startswith("chain_") for name in state)):
            self._add_machine()
            for name, attribute in _STATE.items():
                setattr(self.machines[layer], attribute, state[f"{name}_{layer}"])

    def _add_machine(self) -> None:
        """Adds a machine on top, with visible biases that match the means of its inputs."""
        from sklearn.neural_network import BernoulliRBM

        layer = len(self.machines)
        self._inputs = self.encode(self.data)
        machine = BernoulliRBM(
            self.units[layer], learning_rate=self.learning_rate, batch_size=self.batch_size
        )
        rng, num_visible = self._generator(layer, 0), self._inputs.shape[1]
        kernel = rng.normal(0, 0.01, (self.units[layer], num_visible))
        machine.components_ = kernel.astype(np.float32)
        mean = np.clip(self._inputs.mean(axis=0), _MIN_MEAN, 1 - _MIN_MEAN)
        machine.intercept_visible_ = logit(mean).astype(np.float32)
        machine.intercept_hidden_ = np.zeros(self.units[layer], np.float32)
        machine.h_samples_ = np.zeros((self.batch_size, self.units[layer]), np.float32)
        self.machines.append(machine)

    def _generator(self, layer: int, number: int) -> np.random.RandomState:
        sequence = np.random.SeedSequence([self.seed, layer, number])
        return np.random.RandomState(np.random.MT19937(sequence))
