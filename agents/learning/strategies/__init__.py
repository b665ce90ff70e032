"""Server strategies, one a file: how the weighted mean of the updates moves the global weights."""
