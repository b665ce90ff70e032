"""A read-only web page over the chain's events and the blobs they name. Nothing here signs, writes or asks another host."""
