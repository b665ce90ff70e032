"""The effects of each action, one file a part of the round. Each writes to the journal before anything leaves the node."""
