"""Text in, text and vectors out: prompts, engines, chains and encoders."""
