"""What several tests use: paths, MicroPython, commands as a user types them, random nets."""
