"""What self-contained HTML pages are made of."""
