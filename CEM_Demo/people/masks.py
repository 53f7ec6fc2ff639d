"""Read what annotators marked: polygons from the project's own page, from LabelMe, or in COCO's form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from CEM_Demo.errors import InputError
from CEM_Demo.files import reading
from CEM_Demo.geometry import ROI

# What a polygon says of its place: the annotator would use it, or it could mislead.
KINDS = ("helps", "hurts")

Point = Annotated[list[float], Field(min_length=2, max_length=2)]


@dataclass(frozen=True)
class Sheet:
    """What one annotator marked on one image for one ROI.

    Attributes:
        annotator: name.
        image: name of the image's file.
        roi: as the config writes it, such as ``32x32+96+64``; None where the file does not say.
        size: height and width that the annotator saw; None where the file does not say.
        polygons: for each of :data:`KINDS`, N x 2 arrays of x and y in pixels.
        path: the file.
    """

    annotator: str
    image: str
    roi: str | None
    size: tuple[int, int] | None
    polygons: dict[str, list[NDArray[np.float64]]]
    path: Path

    def is_of(self, image: str, roi: ROI) -> bool:
        """Whether it is of an image and an ROI; a file that names no ROI is of all of them."""
        return self.image == image and self.roi in (None, str(roi))


class _Shape(BaseModel):
    """A shape of LabelMe."""

    model_config = ConfigDict(extra="ignore")

    label: Literal["helps", "hurts"]
    points: list[Point]
    shape_type: Literal["polygon", "rectangle"] = "polygon"

    def polygon(self) -> NDArray[np.float64]:
        points = np.array(self.points, dtype=np.float64).reshape(-1, 2)
        if self.shape_type == "polygon":
            return points
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


class _LabelMe(BaseModel):
    """A file of LabelMe, or one sheet of the project's own page."""

    model_config = ConfigDict(extra="ignore")

    imagePath: str
    shapes: list[_Shape]
    imageHeight: int | None = None
    imageWidth: int | None = None
    annotator: str | None = None
    roi: str | None = None


class _Page(BaseModel):
    """A file of the project's own page."""

    model_config = ConfigDict(extra="ignore")

    annotator: str
    sheets: list[_LabelMe]


class _CocoImage(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: int
    file_name: str
    height: int | None = None
    width: int | None = None


class _CocoCategory(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: int
    name: Literal["helps", "hurts"]


class _CocoAnnotation(BaseModel):
    model_config = ConfigDict(extra="ignore")

    image_id: int
    category_id: int
    segmentation: list[list[float]]
    annotator: str | None = None


class _Coco(BaseModel):
    """A file in COCO's form."""

    model_config = ConfigDict(extra="ignore")

    images: list[_CocoImage]
    categories: list[_CocoCategory]
    annotations: list[_CocoAnnotation]


def read_sheets(folder: Path) -> list[Sheet]:
    """Read all JSON files in a folder and its subfolders.

    The annotator is who the file names; else the subfolder's name; else, of COCO, the file's.

    Raises:
        InputError: there is none, one cannot be read, or it does not say whose it is.
    """
    with reading(folder):
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}; --masks names the one that holds the masks")
        paths = sorted(folder.rglob("*.json"))
    if not paths:
        raise InputError(f"{folder} holds no JSON file; draw masks on the page that --page writes, or in LabelMe")
    return [sheet for path in paths for sheet in _sheets_of(path, folder)]


def _sheets_of(path: Path, folder: Path) -> Iterator[Sheet]:
    with reading(path):
        text = path.read_bytes()
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    subfolder = path.parent.name if path.parent != folder else None
    try:
        if isinstance(content, dict) and "sheets" in content:
            page = TypeAdapter(_Page).validate_python(content)
            return iter([_of_labelme(sheet, path, page.annotator) for sheet in page.sheets])
        if isinstance(content, dict) and "annotations" in content:
            return _of_coco(TypeAdapter(_Coco).validate_python(content), path, subfolder or path.stem)
        return iter([_of_labelme(TypeAdapter(_LabelMe).validate_python(content), path, subfolder)])
    except ValidationError as error:
        raise InputError(f"{path}: {_complaint(error)}") from error


def _complaint(error: ValidationError) -> str:
    """Say where a file differs from the forms that are read."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    hint = f"; name the shapes {' or '.join(KINDS)}" if first["type"] == "literal_error" else ""
    return f"{place}: {first['msg']}{hint}"


def _of_labelme(sheet: _LabelMe, path: Path, owner: str | None) -> Sheet:
    annotator = sheet.annotator or owner
    if annotator is None:
        raise InputError(f"{path} does not say who drew it; put it into a folder with the annotator's name")
    polygons = [(shape.label, shape.polygon()) for shape in sheet.shapes]
    size = None if sheet.imageHeight is None or sheet.imageWidth is None else (sheet.imageHeight, sheet.imageWidth)
    return _sheet(annotator, sheet.imagePath, sheet.roi, size, polygons, path)


def _of_coco(coco: _Coco, path: Path, owner: str) -> Iterator[Sheet]:
    names = {category.id: category.name for category in coco.categories}
    annotators = sorted({annotation.annotator or owner for annotation in coco.annotations}) or [owner]
    for annotator in annotators:
        for image in coco.images:
            polygons = []
            for annotation in coco.annotations:
                if annotation.image_id == image.id and (annotation.annotator or owner) == annotator:
                    if annotation.category_id not in names:
                        raise InputError(f"{path}: category_id {annotation.category_id} is not among its categories")
                    label = names[annotation.category_id]
                    polygons += [(label, _points(flat, path)) for flat in annotation.segmentation]
            size = None if image.height is None or image.width is None else (image.height, image.width)
            yield _sheet(annotator, image.file_name, None, size, polygons, path)


def _points(flat: Sequence[float], path: Path) -> NDArray[np.float64]:
    if len(flat) % 2:
        raise InputError(f"{path}: a polygon has {len(flat)} numbers, which are no pairs of x and y")
    return np.array(flat, dtype=np.float64).reshape(-1, 2)


def _sheet(
    annotator: str,
    image: str,
    roi: str | None,
    size: tuple[int, int] | None,
    polygons: Sequence[tuple[str, NDArray[np.float64]]],
    path: Path,
) -> Sheet:
    for _, points in polygons:
        if len(points) < 3 or not np.isfinite(points).all():
            raise InputError(f"{path}: a polygon needs three corners with finite coordinates at least")
    by_kind = {kind: [points for label, points in polygons if label == kind] for kind in KINDS}
    # LabelMe writes the path that the image had on the annotator's machine.
    name = image.replace("\\", "/").rpartition("/")[2]
    return Sheet(annotator, name, roi, size, by_kind, path)


def check_sheet(sheet: Sheet, height: int, width: int) -> None:
    """Raise InputError if the annotator saw an image of another size than ``height`` x ``width``."""
    if sheet.size not in (None, (height, width)):
        assert sheet.size is not None
        raise InputError(
            f"{sheet.path}: {sheet.image} was {sheet.size[1]} x {sheet.size[0]} pixels when it was marked, it is "
            f"{width} x {height}; mark the image that the run restores"
        )


def merged_polygons(sheets: Sequence[Sheet], kind: str) -> dict[str, list[Any]]:
    """Gather the polygons of a kind by annotator; an annotator who saw the image and marked nothing has none."""
    found: dict[str, list[Any]] = {}
    for sheet in sheets:
        found.setdefault(sheet.annotator, []).extend(sheet.polygons[kind])
    return dict(sorted(found.items()))
