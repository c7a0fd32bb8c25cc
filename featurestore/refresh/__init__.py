"""The stages of a nightly refresh, and what runs them."""
