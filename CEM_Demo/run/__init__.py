"""Conducts: from a config to effects on disk."""
