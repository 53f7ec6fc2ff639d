"""The zoo's table: one entry per model, in the order of the families.

To add a model, write its network in ``NN/`` and add an entry here, or call ``register`` from your own code.
"""

from __future__ import annotations

from CEM_Demo.ModelZoo.digests import PUBLISHED_SHA256
from CEM_Demo.ModelZoo.NN.dncnn import DnCNN
from CEM_Demo.ModelZoo.NN.edsr import EDSR
from CEM_Demo.ModelZoo.NN.ffdnet import FFDNet
from CEM_Demo.ModelZoo.NN.fsrcnn import FSRCNN
from CEM_Demo.ModelZoo.NN.prenet import PReNet
from CEM_Demo.ModelZoo.NN.srresnet import SRResNet
from CEM_Demo.ModelZoo.registry import Checkpoint, Entry

DNCNN_PAPER = "Zhang et al., Beyond a Gaussian Denoiser, TIP 2017"
EDSR_PAPER = "Lim et al., Enhanced Deep Residual Networks for Single Image Super-Resolution, CVPRW 2017"
FFDNET_PAPER = "Zhang et al., FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image Denoising, TIP 2018"
FSRCNN_PAPER = "Dong et al., Accelerating the Super-Resolution Convolutional Neural Network, ECCV 2016"
PRENET_PAPER = "Ren et al., Progressive Image Deraining Networks: A Better and Simpler Baseline, CVPR 2019"
SRGAN_PAPER = "Ledig et al., Photo-Realistic Single Image Super-Resolution Using a GAN, CVPR 2017"


def base(file: str, demo: str | None = None) -> dict[str, Checkpoint]:
    """The published checkpoint ``file``, and the bundled one of the model ``demo``."""
    checkpoints = {"Base": Checkpoint(file, PUBLISHED_SHA256.get(file))}
    if demo:
        checkpoints["Demo"] = Checkpoint(f"{demo}-Demo.pth")
    return checkpoints


def edsr(name: str, width: int, depth: int, demo: str | None = None) -> Entry:
    """A ``EDSR-width-depth``; two convolutions a block, and four around them, widen the reach by one each."""
    return Entry(
        name,
        ("SR",),
        EDSR,
        EDSR_PAPER,
        checkpoints=base(f"EDSR-{width}-{depth}_15000.pth", demo),
        arguments={"width": width, "depth": depth},
        takes_channels=True,
        numbered=("width", "depth"),
        reach=2 * depth + 4,
    )


def fsrcnn(name: str, width: int, depth: int, published: bool = True) -> Entry:
    """A ``FSRCNN-width-depth``, named by its mapping layers."""
    return Entry(
        name,
        ("SR",),
        FSRCNN,
        FSRCNN_PAPER,
        checkpoints=base(f"{name}_15000.pth") if published else {},
        arguments={"width": width, "depth": depth},
        takes_channels=True,
        numbered=("width", "depth"),
        reach=depth + 3,
    )


def srresnet(name: str, tasks: tuple[str, ...], file: str, scale: int = 1, demo: str | None = None) -> Entry:
    """An MSRResNet; at scale 1 for denoising, deraining and several tasks at once."""
    return Entry(name, tasks, SRResNet, SRGAN_PAPER, base(file, demo), {"scale": scale}, scale=scale, reach=35)


ENTRIES = [
    fsrcnn("FSRCNN", 12, 4, published=False),
    *(fsrcnn(f"FSRCNN-{width}-6", width, 6) for width in (16, 32, 48, 64, 80, 96, 112, 128)),
    *(fsrcnn(f"FSRCNN-48-{depth}", 48, depth) for depth in (2, 4, 8, 10, 12, 14, 16)),
    edsr("EDSR", 64, 16, demo="EDSR"),
    *(edsr(f"EDSR-64-{depth}", 64, depth) for depth in (10, 12, 14, 16, 18, 20, 22, 24)),
    *(edsr(f"EDSR-{width}-16", width, 16) for width in (32, 96, 128, 160, 192, 224, 256)),
    srresnet("SRResNet", ("SR",), "MSRResNet_net_g_1000000.pth", scale=4, demo="SRResNet"),
    srresnet("MSRGAN", ("SR",), "MSRGAN_net_g_400000.pth", scale=4),
    srresnet("SRResNet_DN", ("DN",), "SRResNet_DN.pth", demo="SRResNet_DN"),
    srresnet("SRResNet_DR", ("DR",), "SRResNet_DR.pth", demo="SRResNet_DR"),
    Entry("DnCNN", ("DN",), DnCNN, DNCNN_PAPER, base("dncnn_color_blind.pth", "DnCNN"), scale=1, reach=20),
    Entry("FFDNet", ("DN",), FFDNet, FFDNET_PAPER, base("ffdnet_color.pth"), scale=1, reach=25),
    Entry("PReNet", ("DR",), PReNet, PRENET_PAPER, base("PReNet6.pth", "PReNet"), scale=1, reach=78),
]
