"""Tuning jobs: LoRA on a decoder or an encoder, for an objective; results go back to the store."""
