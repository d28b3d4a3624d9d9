"""Views of images, on the device: the host's augmentation schema, carried out with Kornia."""
