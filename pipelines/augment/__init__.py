"""Augmentation: parameters drawn from (seed, epoch, index), rendered once."""
