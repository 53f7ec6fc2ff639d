"""Make files that are not what their names say; each short recipe returns the bytes of a file."""

from __future__ import annotations

import argparse
import io
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from conftest import Tiny, photograph

WEB_PAGE = b"<!DOCTYPE html>\n<html><body>Please log in to download this file.</body></html>"
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n"


class Trap:
    """An object whose unpickling makes a file, as a hostile pickle would run any code."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return open, (str(self.marker), "w")


def image(mode: str = "RGB", kind: str = "png", **options: Any) -> bytes:
    """Give the photograph of the tests in a mode of Pillow's."""
    return encoded(Image.fromarray(photograph(32, 40)).convert(mode), kind, **options)


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def animation(kind: str) -> bytes:
    frames = [Image.fromarray(photograph(32, 40)), Image.new("RGB", (40, 32), "red")]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def turned_photograph() -> bytes:
    """Make a JPEG whose EXIF orientation says that the camera was held upright: displayed, it is 32 x 40."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.fromarray(photograph(32, 40)), "jpeg", quality=95, exif=exif.tobytes())


def deep(kind: str) -> bytes:
    """Make an image of 16 bits of gray."""
    return encoded(Image.fromarray(photograph(32, 40)[..., 0].astype(np.uint16) * 257), kind)


def wide(values: Any) -> bytes:
    """Make a TIFF of 32 bits a value."""
    return encoded(Image.fromarray(values), "tiff")


def deep_rgb() -> bytes:
    """Make a PNG of 16 bits a channel, which Pillow does not write."""
    rows = (photograph(32, 40).astype(">u2") * 257).reshape(32, -1)
    return png(40, 32, bits=16, data=b"".join(b"\0" + row.tobytes() for row in rows))


def png(width: int, height: int, bits: int = 8, data: bytes = b"") -> bytes:
    """Make an RGB PNG that claims a size."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)), (b"IDAT", zlib.compress(data))]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, body in [*chunks, (b"IEND", b"")]:
        content += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return content


def packed(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def patches(count: int = 5, side: int = 8) -> np.ndarray:
    return np.random.RandomState(2).randint(0, 256, (count, side, side, 3)).astype(np.uint8)


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def state_dict(**changes: Any) -> dict[str, Any]:
    """Give the weights of Tiny, some of them replaced or, with None, left out."""
    torch.manual_seed(0)
    state = {**Tiny().state_dict(), **{key.replace("__", "."): value for key, value in changes.items()}}
    return {key: value for key, value in state.items() if value is not None}


def saved(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def scripted() -> bytes:
    """Make a program as ``torch.jit.save`` writes it, as far as a reader must look."""
    return archive(**{"net/constants.pkl": pickle.dumps(()), "net/data.pkl": pickle.dumps(()), "net/version": b"3"})


def with_arguments() -> bytes:
    """Save weights beside the command line of their training, as some trainers do."""
    return saved({"params": state_dict(), "arguments": argparse.Namespace(epochs=3)})


def traps(marker: Path) -> dict[str, bytes]:
    """Wrap a hostile pickle in every way that some reader of files would unpickle."""
    trap = Trap(marker)
    objects = np.array([trap, trap], dtype=object)
    array = io.BytesIO()
    np.save(array, objects, allow_pickle=True)
    return {
        "pickle": pickle.dumps(trap),
        "old pickle": pickle.dumps(trap, protocol=0),
        "torch": saved({"params": trap}),
        "legacy torch": saved({"params": trap}, _use_new_zipfile_serialization=False),
        "beside weights": saved({**state_dict(), "epoch": trap}),
        "npz": packed(patches=objects),
        "npy": array.getvalue(),
        "npz of pickles": archive(**{"patches.npy": pickle.dumps(trap)}),
        "npz of no array": archive(patches=pickle.dumps(trap)),
    }
