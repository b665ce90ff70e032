"""What every web page of ours stands on: a server that says when it listens, hardened answers, lists cut into pages."""
