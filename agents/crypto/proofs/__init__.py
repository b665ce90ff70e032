"""Proofs, one file each: its statement, its codec and size, prove and verify. What carries a proof asks here for its bytes."""
