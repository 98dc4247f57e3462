"""Analysis of tables and networks: comparison, selection of samples, saliency, corruptions."""
