"""Pretraining: backbones trained from random weights, for other tasks to start from."""
