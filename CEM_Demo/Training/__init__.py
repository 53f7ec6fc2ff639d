"""Train a network of the zoo on a folder of photographs: ``python -m CEM_Demo.Training --help``."""
