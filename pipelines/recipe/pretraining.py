"""METHODS: ways to train a backbone before its task is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator

from zoo.config import Config
from zoo.table import Table

if TYPE_CHECKING:
    from pipelines.recipe.recipe import Recipe

Job = Callable[[str | Path, "Recipe", Path, bool], Path]


@dataclass(frozen=True)
class Method:
    """A way to train a backbone before its task is known.

    Args:
        name: The key in METHODS.
        summary: What it learns from, and when to use it.
        preset: The preset of recipes that suits it.
        labeled: Whether it needs two classes or more; otherwise labels are not read.
        pretrain: Maps DATA, a recipe, the run's directory and whether to resume to the
            file written; loads what it needs when it is called.
        paper: Authors, year and address.
    """

    name: str
    summary: str
    preset: str
    labeled: bool
    pretrain: Job
    paper: str


def _supervised(data: str | Path, recipe: Recipe, out: Path, resume: bool) -> Path:
    from pipelines.pretraining.supervised import pretrain_supervised

    return pretrain_supervised(data, recipe, out, resume=resume)


def _autoencoder(data: str | Path, recipe: Recipe, out: Path, resume: bool) -> Path:
    from pipelines.pretraining.autoencoder import pretrain_autoencoder

    return pretrain_autoencoder(data, recipe, out, resume=resume)


def _rbm(data: str | Path, recipe: Recipe, out: Path, resume: bool) -> Path:
    from pipelines.pretraining.rbm import pretrain_rbm

    return pretrain_rbm(data, recipe, out, resume=resume)


METHODS: Table[Method] = Table(
    "pretraining method",
    [
        Method(
            "supervised",
            "by the labels of a larger set; the usual way",
            preset="pretrain",
            labeled=True,
            pretrain=_supervised,
            paper="Yosinski et al., 2014, https://arxiv.org/abs/1411.1792",
        ),
        Method(
            "autoencoder",
            "without labels: restores images from noisy ones with parts hidden; any backbone",
            preset="pretrain_autoencoder",
            labeled=False,
            pretrain=_autoencoder,
            paper="Vincent et al., 2008, https://doi.org/10.1145/1390156.1390294",
        ),
        Method(
            "rbm",
            "without labels: restricted Boltzmann machines, layer on layer; deep_belief_network",
            preset="pretrain_rbm",
            labeled=False,
            pretrain=_rbm,
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
