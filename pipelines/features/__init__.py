"""Features of frozen backbones: extraction, storage on disk, arrays and tf.data datasets."""
