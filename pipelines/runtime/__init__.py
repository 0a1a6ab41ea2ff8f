"""The process a job runs in: devices, output paths, logging."""
