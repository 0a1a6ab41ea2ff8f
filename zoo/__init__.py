"""Networks: backbones, weights, heads, models and their export."""
