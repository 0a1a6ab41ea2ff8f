"""Features of frozen backbones: computed once, kept on disk, read as arrays or tf.data."""
