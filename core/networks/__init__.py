"""Networks with early exits: trunks, heads, where exits stand and what they cost."""
