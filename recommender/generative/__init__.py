"""ISRF's generative form: T5 writes the item that comes next; P5, POD and ELMRec are settings."""
