"""Individual and group interests of ISRF, iterated, for both tasks."""
