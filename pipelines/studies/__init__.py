"""Studies: claims of deep-learning lectures, rerun, each with a figure and a verdict."""
