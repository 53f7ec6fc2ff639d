"""Run interventions through a network, and keep the ROI of each output."""
