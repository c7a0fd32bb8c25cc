"""Releases: how they are made, named, verified and removed."""
