"""Training: loop, losses, checkpoints, what a finished network learns about itself."""
