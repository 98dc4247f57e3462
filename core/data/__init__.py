"""Labelled images: prepared data sets, splits, shipped samples, folders, uploads, transforms."""
