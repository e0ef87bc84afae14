"""What a network is, in numpy: binary and fixed-point nets, and how bytes become their input."""
