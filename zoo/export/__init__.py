"""Export to SavedModel, checked in a fresh process."""
