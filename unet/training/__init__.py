"""Training: trainer, losses, checkpoints, calibration."""
