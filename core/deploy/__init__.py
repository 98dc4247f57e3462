"""Benchmarks: measured time."""
