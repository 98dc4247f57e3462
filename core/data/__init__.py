"""Images with labels: prepared sets, their splits, shipped samples, and their sources."""
