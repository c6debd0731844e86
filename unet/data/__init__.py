"""Data sets: readers, splits that do not leak, batches and augmentation."""
