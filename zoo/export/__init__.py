"""Export to SavedModel, and the gate it has to pass."""
