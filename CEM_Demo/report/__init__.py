"""From results on disk to maps and one HTML page."""
