"""The twin: the device's computation on the host, in numpy and in compiled C, to the bit."""
