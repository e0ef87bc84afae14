"""Short pulses for a net: thresholds calibrated to write errors, and a pulse for each layer."""
