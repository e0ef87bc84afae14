"""The serial link to devices: frames, sessions, fleets of them, and the fault test."""
