"""Images with labels, from files of many kinds."""
