"""Serving: predictions of finished models, and SavedModel export."""
