"""The schema's history, applied in order on both databases."""
