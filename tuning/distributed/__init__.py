"""A search on several processes: chief, workers, leases and their protocol."""
