"""Hyperparameter search: search spaces, oracles, trials, folds and the journal."""
