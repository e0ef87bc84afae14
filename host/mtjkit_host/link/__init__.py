"""The serial link to devices: frames, sessions, fleets."""
