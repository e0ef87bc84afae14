"""Files of networks: written and read."""
