"""An organisation's running node: its wiring, its loop, and what watches it."""
