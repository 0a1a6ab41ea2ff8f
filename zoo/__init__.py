"""What is trained and shipped: backbones, heads, classifiers and their export."""
