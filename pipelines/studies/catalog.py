"""The table of studies."""

from __future__ import annotations

from pipelines.studies import (
    activations,
    adversarial,
    augmentation,
    backpropagation,
    batch_normalization,
    batch_size,
    bias_correction,
    capacity,
    covariate_shift,
    dead_units,
    dropout,
    dropout_ensemble,
    early_stopping,
    initialization,
    learning_rate,
    normalization,
    optimizers,
    penalties,
    perceptron,
    pretraining,
    transfer,
    transferred_layers,
    vanishing_gradients,
    weight_paths,
)
from pipelines.studies.study import Study
from zoo.table import Table

STUDIES: Table[Study] = Table(
    "study",
    [
        initialization.STUDY,
        vanishing_gradients.STUDY,
        activations.STUDY,
        dead_units.STUDY,
        batch_normalization.STUDY,
        covariate_shift.STUDY,
        normalization.STUDY,
        optimizers.STUDY,
        bias_correction.STUDY,
        batch_size.STUDY,
        learning_rate.STUDY,
        early_stopping.STUDY,
        dropout.STUDY,
        dropout_ensemble.STUDY,
        penalties.STUDY,
        weight_paths.STUDY,
        augmentation.STUDY,
        transfer.STUDY,
        transferred_layers.STUDY,
        pretraining.STUDY,
        capacity.STUDY,
        perceptron.STUDY,
        backpropagation.STUDY,
        adversarial.STUDY,
    ],
)
