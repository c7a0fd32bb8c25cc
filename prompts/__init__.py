"""Prompt files, data only. This module exists so that wheels carry the folder."""
