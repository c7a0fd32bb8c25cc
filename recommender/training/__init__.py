"""The training loop, and what every training shares: losses, samplers, checkpoints, the random search."""
