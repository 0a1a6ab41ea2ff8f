"""Augmentation: parameters drawn from (seed, pass, index), rendered once.

    AugmentConfig ──▶ Plan.draw ──▶ Plan.compose ──▶ a renderer
    the recipe's      values of      one matrix, one     uint8 [B, S, S, 3]
    [augment]         each operation color map, boxes

To add an operation: a class and a row in the file of its stage (geometry, color,
pixels, labels); what changes pixels also needs a kernel in each renderer.
"""

from pipelines.augment.operations import AUGMENTATIONS
from pipelines.augment.policies import POLICIES, AugmentConfig

__all__ = ["AUGMENTATIONS", "POLICIES", "AugmentConfig"]
