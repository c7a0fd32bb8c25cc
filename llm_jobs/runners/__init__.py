"""Runners: each implements `llm_jobs.runner.Runner`."""
