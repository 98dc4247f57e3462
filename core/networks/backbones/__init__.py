"""Trunks that ship, one family per file."""
