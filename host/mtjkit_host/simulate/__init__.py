"""Networks and the emulated memory on the host, bit for bit a device's."""
