"""What a network is, in numpy: binary and fixed-point nets."""
