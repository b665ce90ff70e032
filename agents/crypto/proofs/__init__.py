"""Zero-knowledge proofs that accompany published values."""
