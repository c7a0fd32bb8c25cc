"""What features are, where they live, how work is committed, published and read."""
