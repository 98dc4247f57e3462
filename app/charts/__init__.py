"""Figures and drawings. They draw what they are given and work nothing out."""
