"""One binding file a contract: what it answers, and the transactions that it takes."""
