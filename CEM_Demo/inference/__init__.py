"""Run interventions through a network, and keep the ROI of each output."""

from CEM_Demo.inference.dense import DenseInference
from CEM_Demo.inference.interface import Inference

__all__ = ["DenseInference", "Inference"]
