"""Exit tables, criteria, policies, routing, reports and inference with early exits."""
