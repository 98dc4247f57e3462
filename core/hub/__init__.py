"""Trained models: cards, storage, the registry, training, publishing, results."""
