"""Leak checks of a release: what a model could know that it will be asked about. One file per check."""
