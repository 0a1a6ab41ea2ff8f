"""Open data sets: to train on, to evaluate on, or to look at a sample of."""
