"""Choosing an ROI."""
