"""What exact per-example clipping costs, beside its peers: see `__main__`."""
