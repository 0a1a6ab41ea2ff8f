"""The `zoo` command line: a thin layer over the Python functions."""
