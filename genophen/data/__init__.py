"""Labelled images as batches on the device: augmentation, splits."""
