"""The published ``.mat`` files: an array called PSNR, readable by SciPy, MATLAB and the published scripts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, savemat

from CEM_Demo.errors import InputError

# A .mat file begins with 116 bytes of text. SciPy puts the date there, so that equal arrays give different files.
# The digest of all that follows is more useful, since SciPy's reader can crash the whole process on a damaged file.
MAT_TEXT_BYTES = 116
MAT_TEXT = b"MATLAB 5.0 MAT-file, Causal Effect Map, SHA-256 "


def read_mat(path: Path, name: str = "PSNR") -> NDArray[np.float64]:
    """Read the array ``name`` of a .mat file.

    Raises:
        InputError: there is no such file, or it holds no such array.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing")
    try:
        content = path.read_bytes()
        text, body = content[:MAT_TEXT_BYTES], content[MAT_TEXT_BYTES:]
        if text.startswith(MAT_TEXT) and text != _mat_text(body):
            raise ValueError("the digest differs")
        # This keeps the order of the file: in another order in memory, a mean has other last digits.
        return np.asarray(loadmat(BytesIO(content))[name], dtype=np.float64)
    except Exception as error:  # SciPy's reader may raise anything on a damaged file
        raise InputError(f"{path} is damaged") from error


def mat_bytes(
    values: NDArray[np.float64], name: str = "PSNR", further: Mapping[str, NDArray[np.float64]] | None = None
) -> bytes:
    """Make a .mat file of ``values``, the array ``name``, and ``further`` arrays; equal values make equal bytes."""
    buffer = BytesIO()
    savemat(buffer, {name: values, **(further or {})})
    body = buffer.getvalue()[MAT_TEXT_BYTES:]
    return _mat_text(body) + body


def _mat_text(body: bytes) -> bytes:
    return (MAT_TEXT + hashlib.sha256(body).hexdigest().encode()).ljust(MAT_TEXT_BYTES)
