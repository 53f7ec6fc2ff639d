"""Figures and tables that go into a paper as they are."""
