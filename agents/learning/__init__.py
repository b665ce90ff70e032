"""Local training and global finalisation: no network, no clock, no file except the data adapters' given path.

Randomness is an argument. What every node must compute alike (`plan`, `state`, `server`) uses no torch, only exact or IEEE elementwise
arithmetic in a fixed order; what one organisation computes for itself (`local`, `evaluation`, `baselines`) may differ between machines.
"""
