"""Places: images with computed features, as `zoo features` leaves them."""
