"""What can be learned from tables and networks: comparisons, selections, saliency."""
