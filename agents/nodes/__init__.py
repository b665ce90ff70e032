"""Wiring and loops: an organisation's node, and the auditor that re-checks rounds from public data."""
