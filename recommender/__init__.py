"""Torch recommenders that read a release of the store and never call a language model."""
