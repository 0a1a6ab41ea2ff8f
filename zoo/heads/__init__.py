"""Classification heads: layers, activations and initializers."""
