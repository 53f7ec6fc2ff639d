"""Load networks from TorchScript files, scripted or traced.

Such a file is a program. PyTorch runs it in an interpreter of its own, which knows tensors but no Python; still, its
authors do not call that safe for files of strangers. So no such file is run unless the config names it as code.
"""

from __future__ import annotations

import warnings

import torch
from torch import nn

from CEM_Demo.config.model_sources import Program
from CEM_Demo.errors import InputError, brief
from CEM_Demo.networks.adapting import ImageOutput


def load_program(source: Program) -> nn.Module:
    """Load the network of a TorchScript file onto the CPU, in evaluation mode.

    Raises:
        InputError: there is no such file, or it is not TorchScript.
    """
    if not source.file.is_file():
        raise InputError(f"there is no file {source.file}")
    try:
        with warnings.catch_warnings():
            # PyTorch warns that new files should use torch.export.
            warnings.simplefilter("ignore")
            net = torch.jit.load(str(source.file), map_location="cpu")
    except RuntimeError as error:
        raise InputError(
            f"{source.file}: not a TorchScript file: {brief(error)}; name a checkpoint as weights, not as code"
        ) from error
    return ImageOutput(net, source.output).eval()
