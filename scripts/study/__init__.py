"""The study behind docs/results/core.md: a declared list of runs, a queue that works it off, its tables."""
