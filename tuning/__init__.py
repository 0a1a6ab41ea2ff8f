"""Optimization, hyperparameter search and training of many heads at once."""
