"""Training: preparation, model, input, loop and phases of a job."""
