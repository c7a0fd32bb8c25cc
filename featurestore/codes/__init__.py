"""Semantic ids: codes of vectors, and the codebooks that make them."""
