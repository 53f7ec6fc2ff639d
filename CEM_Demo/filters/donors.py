"""Donors: other natural images, degraded as the task degrades, with noise or rain of their own.

A donor that shared the noise of the test image would bring along the very noise that the network is to remove, and
effects would change their signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from CEM_Demo.errors import InputError
from CEM_Demo.geometry import mirrored
from CEM_Demo.images import UInt8Image
from CEM_Demo.method.plan import make_generator, number_of_name
from CEM_Demo.tasks import Degradation, Scene, degrade_anew


@dataclass(frozen=True)
class Donor:
    """One draw of a donor.

    Attributes:
        image: clean, of the size of the ground truth; of PAIR, the degraded input.
        degraded: H x W x 3 uint8 RGB, of the size of the network's input.
    """

    image: UInt8Image
    degraded: UInt8Image


def make_donors(
    photographs: Sequence[UInt8Image], scene: Scene, degradation: Degradation, seed: int, image_name: str, count: int
) -> tuple[Donor, ...]:
    """Draw donors: one photograph after another, and each in other places and mirrored in other ways every time.

    Args:
        photographs: at least one, without the test image; larger ones are cut, smaller ones continued by mirroring.
        scene: of the test image.
        degradation: its task.
        seed, image_name: the draws depend on them, and on nothing that a network has a part in.
        count: how many donors are drawn.
    """
    shape = scene.degraded.shape if degradation.task == "PAIR" else scene.ground_truth.shape
    entropy = (seed, number_of_name(image_name))
    donors = []
    for draw in range(count):
        random = make_generator(*entropy, draw)
        turn, number = divmod(draw, len(photographs))
        photograph = photographs[number][:: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]
        rows, columns = (
            _places(random, length, wanted) for length, wanted in zip(photograph.shape, shape[:2], strict=False)
        )
        image = np.ascontiguousarray(photograph[rows][:, columns])
        donors.append(Donor(image, degrade_anew(degradation, image, int(random.randint(2**32, dtype=np.uint64)))))
    return tuple(donors)


def _places(random: np.random.RandomState, length: int, wanted: int) -> np.ndarray:
    start = int(random.randint(max(length - wanted, 0) + 1))
    return mirrored(start, start + wanted, length)


def check_enough(photographs: int, draws: int, key: str) -> None:
    """Raise InputError unless each draw has a photograph of its own, which intervals count on; ``key`` sets draws."""
    if photographs < draws:
        raise InputError(
            f"resample needs {draws} photographs besides the test image, one for each draw, and finds {photographs}; "
            f"give more, or set {key}: {photographs}"
        )


def others_than(images: Sequence[UInt8Image], photographs: Sequence[UInt8Image]) -> list[UInt8Image]:
    """Leave out the test image, clean or degraded, and what is the same but for turning and mirroring."""
    views = [np.rot90(mirror, turns) for image in images for mirror in (image, image[:, ::-1]) for turns in range(4)]
    return [photograph for photograph in photographs if not any(np.array_equal(photograph, view) for view in views)]
