"""Hyperparameter search by several processes: chief, workers, leases and their protocol."""
