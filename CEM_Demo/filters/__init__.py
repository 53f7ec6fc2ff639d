"""Filter effects: which filters of a network carry an ROI, and which hurt it, by do() on the channels of its layers."""
