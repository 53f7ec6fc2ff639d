"""Networks in TorchScript files, scripted or traced.

Such a file is a program: PyTorch compiles and runs it in an interpreter of its own, which knows tensors and no Python,
but which PyTorch's authors do not call safe for files of strangers. So none is run unless the config names it as code.
"""

from __future__ import annotations

import warnings

import torch
from torch import nn

from CEM_Demo.config.model_sources import Program
from CEM_Demo.errors import InputError, brief
from CEM_Demo.networks.adapting import ImageOutput


def load_program(source: Program) -> nn.Module:
    """The network of a TorchScript file, on the CPU, in evaluation mode.

    Raises:
        InputError: there is no such file, or it is no TorchScript.
    """
    if not source.file.is_file():
        raise InputError(f"there is no file {source.file}")
    try:
        with warnings.catch_warnings():
            # PyTorch recommends torch.export for new files.
            warnings.simplefilter("ignore")
            net = torch.jit.load(str(source.file), map_location="cpu")
    except RuntimeError as error:
        raise InputError(
            f"{source.file}: not a TorchScript file: {brief(error)}; name a checkpoint as weights, not as code"
        ) from error
    return ImageOutput(net, source.output).eval()
