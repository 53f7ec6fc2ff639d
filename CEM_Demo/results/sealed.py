"""Small JSON files that vouch for others: typed, numbered and sealed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from CEM_Demo.errors import InputError

WHAT_TO_DO = "set load_previous: 0 to compute anew, or another prefix to keep both"

# It is recorded for the reader, and differs from run to run.
NOT_SEALED = "wall_seconds"


class Sealed(BaseModel):
    """The contents of such a file; a kind of it has the fields ``format``, with a default, and ``seal``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_bytes(self) -> bytes:
        """Give the text of the file, sealed."""
        content = self.model_dump(mode="json", exclude={"seal"})
        content["seal"] = _seal(content)
        return (json.dumps(content, indent=2) + "\n").encode()


Kind = TypeVar("Kind", bound=Sealed)


def read_sealed(path: Path, kind: type[Kind]) -> Kind | None:
    """Read a file of a kind; None where there is none.

    Raises:
        InputError: it is damaged, was edited, or is of another format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["seal"] != _seal({key: value for key, value in content.items() if key != "seal"}):
            raise InputError(f"{path} is damaged, or was edited")
        earlier = content.get("format", 1)
        if earlier != kind.model_fields["format"].default:
            raise InputError(f"{path} is of format {earlier}, which another version of this project wrote")
        return kind(**content)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    except InputError as error:
        raise InputError(f"{error}; {WHAT_TO_DO}") from error
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is damaged; {WHAT_TO_DO}") from error


def _seal(content: dict[str, Any]) -> str:
    """SHA-256 of all that a file says, but of the time it took."""
    sealed = {key: value for key, value in content.items() if key != NOT_SEALED}
    return hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()
