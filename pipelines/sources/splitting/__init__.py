"""Split images into training, validation and test images, copies on one side."""
