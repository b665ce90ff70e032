"""What `brownie run …` runs, and the exporter of the contracts' interfaces."""
