"""Propagation over graphs of users and items, and views of them."""
