"""Hyperparameter search: trials, their training, and the search's reports."""
