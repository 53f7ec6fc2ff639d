"""What the user asks for: a YAML file, checked and frozen."""
