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
        preset: The preset of recipes that suits it.
        labeled: Whether it needs two classes or more; otherwise labels are not read.
        paper: Authors, year and address.
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
            "by the labels of a larger set; the usual way",
            preset="pretrain",
            labeled=True,
            paper="Yosinski et al., 2014, https://arxiv.org/abs/1411.1792",
        ),
        Method(
            "autoencoder",
            "without labels: restores images from noisy ones with parts hidden; any backbone",
            preset="pretrain_autoencoder",
            labeled=False,
            paper="Vincent et al., 2008, https://doi.org/10.1145/1390156.1390294",
        ),
        Method(
            "rbm",
            "without labels: restricted Boltzmann machines, layer on layer; deep_belief_network",
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
        noise: Of the autoencoder: the standard deviation of the normal noise in what it
            restores images from, as a share of the range of a pixel, 0 or more.
        hidden: Of the autoencoder: the share of the image's squares, an eighth of its
            side each, that it does not get to see, 0 to below 1.
    """

    method: str = "supervised"
    noise: Annotated[float, Field(ge=0, le=10)] = 0.1
    hidden: Annotated[float, Field(ge=0, lt=1)] = 0.5

    @field_validator("method")
    @classmethod
    def _known(cls, name: str) -> str:
        return METHODS[name].name
