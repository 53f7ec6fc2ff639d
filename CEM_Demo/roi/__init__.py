"""Choose an ROI."""
