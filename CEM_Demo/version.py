"""The version of the project. It is raised when the numbers of a run change, so that no run continues earlier ones."""

__version__ = "1.0.0"
