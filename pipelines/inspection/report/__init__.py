"""The HTML report of a run, of two runs on the same images, or of a search: `zoo report`."""
