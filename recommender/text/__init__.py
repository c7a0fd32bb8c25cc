"""How vectors of texts enter a model, and how they learn to agree with the graph (RecMind, LLMGR)."""
