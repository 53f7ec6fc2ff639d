"""Say in one line what pydantic finds wrong with what a user gave."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from CEM_Demo.config.plain_yaml import FRACTION, WHOLE_NUMBER
from CEM_Demo.config.safe_names import LONGEST_NAME

# What pydantic calls the alternatives of a key that takes values of several types.
UNION_TAGS = {"list", "mapping", "automatic", "str", "dict[str,any]", "literal[0,1]", "bool"}


def first_complaint(error: ValidationError, model: type[BaseModel]) -> str:
    """Say which key of ``model`` is wrong, what is wrong with it, and the nearest fix."""
    fields = model.model_fields
    # An unknown key often explains a missing one: it is the same key, mistyped.
    complaint = min(error.errors(), key=lambda complaint: complaint["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in complaint["loc"] if part not in UNION_TAGS)[:LONGEST_NAME]
    key = place.partition(".")[0]
    kind, given = complaint["type"], complaint["input"]
    if kind == "missing":
        return f"the key {place} is missing ({fields[key].description})"
    if kind == "extra_forbidden" and place != key:
        return f"{place} is unknown ({fields[key].description})"
    if kind == "extra_forbidden":
        close = _nearest_key(key, fields)
        return f"unknown key {key}{f'; did you mean {close}?' if close else ''}"
    reason = complaint["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return f"{key}: {reason}" if key else reason
    wrong = f"{reason[0].lower()}{reason[1:]}, not {reprlib.repr(given)}{_nearest_fix(kind, given)}"
    return f"{place}: {wrong} ({fields[key].description})"


def _nearest_fix(kind: str, given: Any) -> str:
    """Say what to write instead of a value of the wrong type."""
    if kind == "string_type" and isinstance(given, int | float | bool):
        return "; put it in quotes"
    number = rf"\s*({WHOLE_NUMBER}|{FRACTION})\s*"
    if kind in ("int_type", "float_type") and isinstance(given, str) and re.fullmatch(number, given):
        return "; write it without quotes"
    if kind == "list_type" and isinstance(given, str):
        return f"; write [{given}]" if len(given) < LONGEST_NAME else "; put it in [ ]"
    return ""


def _nearest_key(key: str, keys: Iterable[str]) -> str | None:
    """Find the key that a mistyped one means: it but for case and underscores, a part of it, or one that is alike."""
    same = [known for known in keys if _folded(known) == _folded(key)]
    parts = [known for known in keys if len(known) > 1 and known.lower() in key.lower()]
    alike = difflib.get_close_matches(key, list(keys), n=1, cutoff=0.5)
    return next(iter(same + parts + alike), None)


def _folded(key: str) -> str:
    return key.casefold().replace("_", "")
