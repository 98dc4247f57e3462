"""Trained models: cards, files, the registry, publishing."""
