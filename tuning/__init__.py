"""How weights are found: optimisation, and the search over it."""
