"""How weights are found: optimization, hyperparameter search, heads trained side by side."""
