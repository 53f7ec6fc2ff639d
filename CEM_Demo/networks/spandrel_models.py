"""Load networks that the zoo lacks but the library spandrel knows (https://github.com/chaiNNer-org/spandrel)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

from torch import Tensor, nn

from CEM_Demo.errors import InputError
from CEM_Demo.ModelZoo.registry import SizeRequirement


@dataclass(frozen=True)
class SpandrelModel:
    """A network that spandrel built, its architecture, and the sides of the images that it accepts."""

    net: nn.Module
    architecture: str
    size: SizeRequirement


class SpandrelNet(nn.Module):
    """The network as spandrel calls it, without the clamping that spandrel adds."""

    def __init__(self, descriptor: object) -> None:
        super().__init__()
        self.net: nn.Module = descriptor.model  # type: ignore[attr-defined]
        # Some architectures return more than the image, or use another range; only this function knows.
        self.call = descriptor._call_fn  # type: ignore[attr-defined]

    def forward(self, image: Tensor) -> Tensor:
        return self.call(self.net, image)


def is_known_to_spandrel(state: Mapping[str, Tensor]) -> bool:
    """Say whether :func:`load_with_spandrel` loads a state dict."""
    try:
        load_with_spandrel(state)
    except InputError:
        return False
    return True


def load_with_spandrel(state: Mapping[str, Tensor]) -> SpandrelModel:
    """Build the network of a state dict and load its weights.

    Raises:
        InputError: spandrel is not installed or does not know the network, or it does not map an image to an image.
    """
    try:
        import spandrel
    except ImportError as error:
        raise InputError(
            "it is not a network of the zoo; to recognize more networks, pip install spandrel, "
            "or give its code: {code: my_net.py:MyNet, weights: ...}"
        ) from error
    try:
        descriptor = spandrel.ModelLoader().load_from_state_dict(dict(state))
    except (spandrel.UnsupportedModelError, LookupError, RuntimeError, ValueError, AssertionError) as error:
        raise InputError(
            "neither the zoo nor spandrel knows its network; give its code: {code: my_net.py:MyNet, weights: ...}"
        ) from error
    architecture = f"{descriptor.architecture.name} of spandrel {version('spandrel')}"
    # Spandrel gives these a noise level of its own, 15/255; it also mistakes FFDNet for FDnCNN.
    if descriptor.architecture.id == "DRUNet" or "FDnCNN" in descriptor.tags:
        raise InputError(
            "it needs a noise level, which the file does not hold; give its code: {code: my_net.py:MyNet, weights: ...}"
        )
    channels = (descriptor.input_channels, descriptor.output_channels)
    if not isinstance(descriptor, spandrel.ImageModelDescriptor) or channels not in ((1, 1), (3, 3)):
        raise InputError(
            f"it is {architecture}, which takes {channels[0]} channels and gives {channels[1]}, not an image"
        )
    needed = descriptor.size_requirements
    size = SizeRequirement(needed.multiple_of, max(needed.minimum, 1), needed.square)
    return SpandrelModel(SpandrelNet(descriptor).eval(), architecture, size)
