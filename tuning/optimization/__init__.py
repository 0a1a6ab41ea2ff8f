"""Optimization: optimizers, schedules, penalties, losses and gradient clipping."""
