"""Studies: many models, images and ROIs in one config, and what they say together."""
