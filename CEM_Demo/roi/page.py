"""Make the page on which an ROI is chosen: an image, with proposals of boxes that are worth a look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from CEM_Demo.command_line import read_config
from CEM_Demo.config.schema import Config
from CEM_Demo.device import exact_arithmetic
from CEM_Demo.errors import InputError
from CEM_Demo.files import write_bytes
from CEM_Demo.geometry import ROI
from CEM_Demo.images import UInt8Image, png_bytes, read_image
from CEM_Demo.inference.checks import check_output
from CEM_Demo.inference.dense import DenseInference
from CEM_Demo.method.metric import to_picture
from CEM_Demo.pages import render_page
from CEM_Demo.roi.automatic import SIDE
from CEM_Demo.roi.proposals import Proposal, measure_box, propose, structure_map
from CEM_Demo.run.preparation import check_networks, prepare

TEMPLATE = Path(__file__).parent / "templates" / "roi.html"

# The blocks of the demos; they are used without a config, as is the side of their ROI.
BLOCK = 8


@dataclass(frozen=True)
class RestoredImage:
    """What a config's task and first network make of the image.

    Attributes:
        label: the task and the network, for the reader.
        degraded: the network's input, H x W x 3 uint8 RGB.
        restored: its output, sH x sW x 3 uint8 RGB.
        rois: the config's own ROIs that lie inside this image.
    """

    label: str
    degraded: UInt8Image
    restored: UInt8Image
    rois: list[ROI]


@dataclass(frozen=True)
class ImageToChooseOn:
    """The image on which an ROI is to be chosen.

    Attributes:
        name: name of the image's file.
        image: the ground truth, H x W x 3 uint8 RGB, cropped as the task crops it.
        side: side of the proposed boxes (pixels).
        block: side of a block of the grid (pixels).
        task: None without a config.
    """

    name: str
    image: UInt8Image
    side: int
    block: int
    task: RestoredImage | None

    @property
    def restored(self) -> UInt8Image | None:
        return self.task.restored if self.task else None


def image_alone(path: Path) -> ImageToChooseOn:
    """Read the image alone.

    Raises:
        InputError: there is no such image.
    """
    image = read_image(path)
    return ImageToChooseOn(path.name, image, min(SIDE, *image.shape[:2]), BLOCK, None)


@exact_arithmetic()
def image_of_config(path: Path, config: Config) -> ImageToChooseOn:
    """Read the image, degrade it as the config says, and restore it with the config's first model.

    Raises:
        InputError: there is no such image, it is smaller than the ROI, something that the config names is missing, or
            the network does not restore the image.
    """
    # This is a run on this image alone; the place of its ROI is what the user is about to choose.
    only = {"TextImg_path": str(path.parent), "Imagelist": [path.name], "Modellist": config.Modellist[:1]}
    side = config.ROI_size or SIDE
    anywhere = {"w": 0, "h": 0, "ROI_size": side, "rois": None, "coarse_num": 1, "fine_num": 1}
    run = prepare(config.model_copy(update={**only, **anywhere}))
    scene, model = run.posed_images[0].scene, next(iter(run.models))
    height, width = scene.ground_truth.shape[:2]
    check_networks(run, {(model, path.name)})
    output = DenseInference(run.models[model].load(), scene.degraded, ROI.square(0, 0, side), run.device).baseline()
    check_output(output, (height, width), model)
    task = RestoredImage(
        label=f"{config.task}{f' ×{config.sr}' if config.sr > 1 else ''}, {model}",
        degraded=scene.degraded,
        restored=to_picture(output),
        rois=[roi for roi in config.rois_of(path.name) if roi.right <= width and roi.bottom <= height],
    )
    return ImageToChooseOn(path.name, scene.ground_truth, side, config.mask_block_size, task)


def render(setting: ImageToChooseOn, proposals: list[Proposal], own: list[Proposal]) -> str:
    """Give the text of the page; it starts with the first of ``own``, the config's ROIs, or of the proposals."""
    height, width = setting.image.shape[:2]
    first = next(iter(own + proposals), None)
    start = first.roi if first else ROI.square(0, 0, setting.side)
    pictures = {"ground truth" if setting.task else "image": setting.image}
    if setting.task:
        pictures |= {"degraded": setting.task.degraded, "restored": setting.task.restored}
    return render_page(
        TEMPLATE,
        {"box": _box},
        setting=setting,
        width=width,
        height=height,
        pictures={name: png_bytes(picture) for name, picture in pictures.items()},
        start=start,
        proposals=proposals,
        own=own,
    )


def _box(roi: ROI) -> dict[str, int]:
    """Write an ROI as the page's script and the list form of the config do."""
    return {"left": roi.left, "top": roi.top, "width": roi.width, "height": roi.height}


def describe(setting: ImageToChooseOn, proposals: list[Proposal], own: list[Proposal]) -> str:
    """Describe the proposals in text, one row for each box."""
    reason = f"restoration error ({setting.task.label}) and structure" if setting.task else "structure alone"
    rows = [_row(str(number), proposal) for number, proposal in enumerate(proposals, 1)]
    rows += [_row("config", proposal) for proposal in own]
    return "\n".join([f"{setting.name}: boxes by {reason}" if rows else f"{setting.name}: no structure found", *rows])


def _row(name: str, proposal: Proposal) -> str:
    roi = proposal.roi
    psnr = "" if proposal.psnr is None else f"  PSNR {proposal.psnr:5.2f} dB"
    size = f"ROI_size: {roi.width}" if roi.width == roi.height else f"size: {roi.width} x {roi.height}"
    return f"{name:>6}  w: {roi.left:<5} h: {roi.top:<5} {size:<14}{psnr}  structure {proposal.structure:.1f}"


def choose(image: Path, config: Path | None, output: Path | None) -> None:
    """Write the page and print the proposals.

    Raises:
        InputError: see :func:`image_alone` and :func:`image_of_config`; the page cannot be written, or its name
            does not end in ``.html``.
    """
    page = output or Path(f"{image.stem}_ROI.html")
    # If the image or the config were given here by mistake, it would be overwritten.
    if page.suffix not in (".html", ".htm"):
        raise InputError(f"--output {page}: the page is an HTML file; let its name end in .html")
    setting = image_of_config(image, read_config(config)) if config else image_alone(image)
    structure = structure_map(setting.image)
    proposals = propose(structure, setting.image, setting.restored, setting.side, setting.block)
    rois = setting.task.rois if setting.task else []
    own = [measure_box(roi, structure, setting.image, setting.restored) for roi in rois]
    write_bytes(page, render(setting, proposals, own).encode())
    print(describe(setting, proposals, own))
    print(f"wrote {page}")
