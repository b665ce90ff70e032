"""Cryptography of DeFed-Bio (docs/crypto.md): no network, clock, file or environment; randomness is an argument."""
