"""Read records back: scores, curves, one tidy table, statistics."""
