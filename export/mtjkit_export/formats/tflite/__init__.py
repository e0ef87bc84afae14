"""Fixed-point networks of 8 bits as TFLite files."""
