"""The models that a consortium trained: which there are, their files and cards, and their use on local data."""
