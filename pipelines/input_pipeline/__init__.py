"""Input pipeline: sampling order, decoded images, labels, and tf.data datasets."""
