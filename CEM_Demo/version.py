"""The project's version, raised when the numbers of a run can change: earlier effects are not gone on from."""

__version__ = "1.0.0"
