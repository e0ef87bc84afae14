"""The explorer: one HTML file in which a net runs, and pulses and rates are dragged."""
