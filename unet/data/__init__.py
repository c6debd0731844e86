"""Data sets: readers, splits without leaks, patches, augmentation pipeline, phantoms."""
