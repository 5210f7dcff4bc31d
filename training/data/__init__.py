"""Data sets: Karpathy JSON, SCAN regions, drawn scenes; cached features; batches."""
