"""Differential privacy: what it costs (accounting, budget) and how an update gets it (record)."""
