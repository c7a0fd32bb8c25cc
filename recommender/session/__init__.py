"""Graphs of sessions, and networks that read them."""
