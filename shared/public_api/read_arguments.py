"""Reads JSON that no route has read, like a body and with the same refusals."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from shared.core.errors import FieldProblem, InvalidInput
from shared.core.sentences import field_at, sentence

M = TypeVar("M", bound=BaseModel)


def read_as(model: type[M], given: Mapping[str, Any], *, prefix: str = "") -> M:
    """Read `given` as `model`; `prefix` comes before the paths of refused fields.

    Raises:
        InvalidInput: a field was refused.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = [
            FieldProblem(
                prefix + ".".join(str(part) for part in found["loc"]),
                found["type"],
                sentence(found, field_at(model, found["loc"])),
            )
            for found in error.errors(include_url=False)
        ]
        raise InvalidInput("Some fields were refused.", problems=problems) from error
