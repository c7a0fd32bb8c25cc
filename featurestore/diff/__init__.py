"""Two releases compared: what a new one changes, before or after an alias names it."""
