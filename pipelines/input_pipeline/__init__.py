"""The input pipeline: decoded images, their order, and tf.data for training and evaluation."""
