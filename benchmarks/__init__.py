"""Measurements: what the documentation's figures come from. Not installed, and not run by tests."""
