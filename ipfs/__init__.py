"""Blobs on IPFS: the store port, its adapter for Kubo's RPC, CIDs, and the embedded node."""
