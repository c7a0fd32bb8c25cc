"""One file per model: paper, formula, Config, Model."""
