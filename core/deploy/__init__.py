"""Measured time."""
