"""What runs on the board: the engine and its kernels, the server, what differs between boards."""
