"""How an organisation is connected to chain and IPFS, and what its operator accepted, allowed and holds."""
