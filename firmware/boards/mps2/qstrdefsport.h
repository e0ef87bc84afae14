// The port adds no strings of its own.
