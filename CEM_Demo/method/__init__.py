"""The method of the paper, on arrays alone."""
