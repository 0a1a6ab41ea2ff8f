"""What is trained and shipped: backbones, weights, heads, models and their export."""
