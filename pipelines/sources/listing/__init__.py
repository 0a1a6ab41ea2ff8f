"""List the images and labels of every kind of DATA, without opening an image."""
