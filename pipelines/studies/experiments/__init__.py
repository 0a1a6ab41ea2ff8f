"""What studies measure with: data, networks and training loops that several of them share."""
