"""Import of networks that others trained: read, lowered, checked against the original, written."""
