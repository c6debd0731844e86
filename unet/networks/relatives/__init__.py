"""The relatives of the paper's network, one file an architecture."""
