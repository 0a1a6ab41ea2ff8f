"""Check what was listed and scanned: targets, remarks, what cannot be trained on."""
