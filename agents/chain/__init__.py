"""The chain: connecting, sending once, events, and one binding a contract. Nothing of web3 leaves this room."""
