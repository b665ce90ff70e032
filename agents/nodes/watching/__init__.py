"""What an operator sees and is told of a node: records, metrics, hooks, status. Nothing here changes what a round does."""
