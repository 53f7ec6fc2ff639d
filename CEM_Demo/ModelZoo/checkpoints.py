"""Find a checkpoint file, open it safely, find the state dict in it, and load it strictly."""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from CEM_Demo.errors import InputError, naming
from CEM_Demo.files import reading
from CEM_Demo.ModelZoo.registry import Entry
from CEM_Demo.ModelZoo.state_dicts import Candidate, choose, find_candidates, fitting, layout_of, nearest
from CEM_Demo.wording import first_of

log = logging.getLogger(__name__)

MODEL_DIR = Path(__file__).parent / "models"

PUBLISHED_AT = "https://github.com/J-FHu/CEM (its README links the authors' ModelZoo files)"


class _Unread:
    """What stands for every array and number of NumPy in a checkpoint file: they are no weights, and are not made."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


# NumPy's own functions are never called: a forged state of a dtype could reach memory that is not its own.
UNREAD: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Unread, f"numpy.{name}")
    for name in (
        "dtype",
        "ndarray",
        *("_core.multiarray.scalar", "_core.multiarray._reconstruct"),
        *("core.multiarray.scalar", "core.multiarray._reconstruct"),  # before NumPy 2
    )
]


def checkpoint_path(entry: Entry, training: str) -> Path:
    """Find the file of ``entry``'s weights.

    Raises:
        InputError: there is no such training, or its file is not in ``MODEL_DIR``; the message says where
            the file belongs and which weights there are.
    """
    loadable = [
        f"{entry.name}@{name}" for name, known in entry.checkpoints.items() if (MODEL_DIR / known.file).is_file()
    ]
    instead = f"; there is {', '.join(loadable)}" if loadable else ""
    checkpoint = entry.checkpoints.get(training)
    if checkpoint is None:
        known = ", ".join(entry.checkpoints) or "none"
        raise InputError(f"{entry.name}@{training}: no such training (known: {known}){instead}")
    path = MODEL_DIR / checkpoint.file
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is missing"
        raise InputError(
            f"{entry.name}@{training}: the checkpoint {checkpoint.file} {what}; "
            f"put it into {MODEL_DIR}, from {PUBLISHED_AT}{instead}"
        )
    return path


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal.

    Raises:
        InputError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with reading(path), path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def read_candidates(path: Path) -> list[Candidate]:
    """List the state dicts in a checkpoint file; see :func:`~CEM_Demo.ModelZoo.state_dicts.find_candidates`.

    Raises:
        InputError: the file is not a checkpoint of plain weights, or holds no state dict.
    """
    content = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else read_plain(path)
    found = find_candidates(content)
    if not found:
        strangers = list(content) if isinstance(content, Mapping) else []
        why = f"{strangers[0]!r} is not a tensor, so this is not a state dict" if strangers else "holds no state dict"
        raise InputError(f"{path}: {why}; save the network's state_dict()")
    return found


def read_state_dict(path: Path) -> Mapping[str, Tensor]:
    """Read the preferred state dict in a checkpoint file, for a network of any kind.

    Raises:
        InputError: the file is not a checkpoint of plain weights, or nothing decides between several state dicts.
    """
    candidates = read_candidates(path)
    with naming(str(path)):
        return choose(candidates).state


def read_plain(path: Path) -> Any:
    """Read what ``torch.save`` put into a file, onto the CPU.

    Such files are untrusted: only tensors and plain containers are unpickled, and no code is run.

    Raises:
        InputError: the file is damaged, is of another kind, or holds objects that only code could make.
    """
    try:
        with warnings.catch_warnings():
            # PyTorch warns about ways to read the file that are not used here.
            warnings.simplefilter("ignore")
            with torch.serialization.safe_globals(UNREAD):
                return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever the broken bytes make fail
        # PyTorch's own message is a page long and advises reading the file unsafely.
        raise InputError(f"{path}: not a checkpoint of plain weights: {_fault(path, str(error))}") from error


def _fault(path: Path, complaint: str) -> str:
    """Say what is wrong with a file that PyTorch does not read, and what to do about it."""
    again = f"fetch it again, from {PUBLISHED_AT} if it is a published one"
    with reading(path), path.open("rb") as file:
        start = file.read(512).lstrip()
    if not start:
        return f"the file is empty; {again}"
    if start.startswith(b"<"):
        return f"it is a web page, such as a failed download leaves; {again}"
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS; run git lfs pull to get the file itself"
    # An unsupported global, in PyTorch's words, names the code that the pickle would have run.
    objects = re.search(r"GLOBAL ([\w.]+) was not an allowed", complaint)
    if objects:
        return f"it holds objects of {objects[1]}, which is not run; save the network's state_dict() alone"
    if "TorchScript" in complaint:
        return (
            "it is a TorchScript program; save the network's state_dict() instead, "
            "or, if you trust it, name it as code, {code: mine.pt}"
        )
    return f"it is damaged, or of another format; {again}"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise InputError(f"{path}: to read files of this kind, pip install safetensors") from error
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a safetensors file ({error})") from error


def load_weights(net: nn.Module, path: Path, name: str) -> Candidate:
    """Give a network that state dict of a file which has exactly its keys and shapes, and say which one it was.

    Raises:
        InputError: none fits, or nothing decides between several.
    """
    candidates, expected = read_candidates(path), layout_of(net.state_dict())
    with naming(str(path)):
        found = fitting(candidates, expected)
        chosen = choose(found) if found else nearest(candidates, expected)
    try:
        load_strictly(net, chosen.state, name)
    except InputError as error:
        if found or len(candidates) == 1:
            raise
        raise InputError(f"{error} (the nearest of {first_of([*map(str, candidates)])} is {chosen})") from error
    return chosen


def load_strictly(net: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load weights so that every parameter is set and every weight is used.

    Raises:
        InputError: a key is missing, unknown or of another shape, or its weights are quantized, sparse or NaN.
    """
    expected = net.state_dict()
    strangers = {
        "missing": [key for key in expected if key not in state],
        "unknown": [key for key in state if key not in expected],
        "of another shape": [key for key in expected if key in state and expected[key].shape != state[key].shape],
    }
    if found := "; ".join(f"{complaint}: {first_of(keys)}" for complaint, keys in strangers.items() if keys):
        raise InputError(f"the checkpoint does not fit {name}: {found}; give it the weights of this very network")
    coded = [key for key in expected if expected[key].is_floating_point() and not _is_plain(state[key])]
    if coded:
        raise InputError(f"the checkpoint of {name} is quantized or sparse: {first_of(coded)}; save plain float32")
    broken = [key for key, value in state.items() if value.isnan().any()]
    if broken:
        raise InputError(f"the checkpoint of {name} holds NaN: {first_of(broken)}; use one saved before that")
    net.load_state_dict(dict(state))


def _is_plain(value: Tensor) -> bool:
    return value.is_floating_point() and value.layout == torch.strided and not value.is_meta


def load_entry(net: nn.Module, entry: Entry, training: str) -> nn.Module:
    """Give ``net`` the weights of ``entry`` trained as ``training``, and put it in evaluation mode."""
    path = checkpoint_path(entry, training)
    published = entry.checkpoints[training].sha256
    if published is not None and (found := sha256_of(path)) != published:
        warnings.warn(f"{path.name} is not the published file: SHA-256 {found}, published {published}", stacklevel=3)
    chosen = load_weights(net, path, f"{entry.name}@{training} ({path})")
    if chosen.remark:
        log.info(f"{entry.name}@{training}: from {path}{chosen.remark}")
    return net.eval()
