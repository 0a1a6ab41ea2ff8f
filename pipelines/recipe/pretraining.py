"""The section `pretraining` of a recipe, and METHODS, the ways to pretrain a backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, field_validator

from zoo.config import Config
from zoo.table import Table


@dataclass(frozen=True)
class Method:
    """A way to train a backbone before its task is known.

    Args:
        name: The key in METHODS.
        summary: What it learns from, and when to use it.
        preset: The recipe preset that suits it.
        labeled: Whether it learns from labels; otherwise they are not read.
        paper: Authors, year, address.
    """

    name: str
    summary: str
    preset: str
    labeled: bool
    paper: str


METHODS: Table[Method] = Table(
    "pretraining method",
    [
        Method(
            "supervised",
            "from the labels of a larger data set; the usual way",
            preset="pretrain",
            labeled=True,
            paper="Yosinski et al., 2014, https://arxiv.org/abs/1411.1792",
        ),
        Method(
            "autoencoder",
            "without labels: restores images from noisy, masked ones; any backbone",
            preset="pretrain_autoencoder",
            labeled=False,
            paper="Vincent et al., 2008, https://doi.org/10.1145/1390156.1390294",
        ),
        Method(
            "rbm",
            "without labels: stacked restricted Boltzmann machines; deep_belief_network only",
            preset="pretrain_rbm",
            labeled=False,
            paper="Hinton, Osindero and Teh, 2006, https://doi.org/10.1162/neco.2006.18.7.1527",
        ),
    ],
)


class PretrainingConfig(Config):
    """How `zoo pretrain` trains a backbone.

    Args:
        method: A row of METHODS.
        noise_std: Standard deviation of the Gaussian noise an autoencoder removes, as a
            fraction of the pixel range, 0 or more.
        masked_fraction: Fraction of the image that an autoencoder does not see, in squares
            of an eighth of its side, 0 to below 1.
    """

    method: str = "supervised"
    noise_std: Annotated[float, Field(ge=0, le=10)] = 0.1
    masked_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.5

    @field_validator("method")
    @classmethod
    def _known(cls, name: str) -> str:
        return METHODS[name].name
