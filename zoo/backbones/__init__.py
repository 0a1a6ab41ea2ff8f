"""Backbones: the networks that features come from, one file a family."""
