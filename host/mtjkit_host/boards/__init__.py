"""MicroPython boards, real and emulated: firmware built, flashed and run."""
