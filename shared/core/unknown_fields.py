"""Which fields of a JSON value does a model not know? Named by their paths, for bodies that are read leniently."""

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

MAX_PATH_CHARACTERS = 200


def unknown_fields(model: type[BaseModel], value: Any, *, most: int) -> list[str]:
    """List the fields of `value` that `model` does not read, at most `most`, in the order of the value.

    A path is dotted from the root: `posts.0.value.1.images`. What a field of any content holds is not looked into.
    """
    found = _of_model(model, value, "")
    return [path[:MAX_PATH_CHARACTERS] for path, _ in zip(found, range(most), strict=False)]


def _of_model(model: type[BaseModel], value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    known = {}
    for name, field in model.model_fields.items():
        known[name] = known[field.alias or name] = field.annotation
    for name, inner in value.items():
        where = f"{path}{name}"
        if name in known:
            yield from _of_type(known[name], inner, f"{where}.")
        elif model.model_config.get("extra") != "allow":
            yield where


def _of_type(kind: Any, value: Any, path: str) -> Iterator[str]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from _of_model(kind, value, path)
        return
    origin = get_origin(kind)
    if origin is Annotated:
        yield from _of_type(get_args(kind)[0], value, path)
    elif origin in {Union, types.UnionType}:
        models = [one for one in get_args(kind) if one is not types.NoneType]
        if len(models) == 1:
            yield from _of_type(models[0], value, path)
    elif origin is list and isinstance(value, list):
        [inner] = get_args(kind)
        for number, one in enumerate(value):
            yield from _of_type(inner, one, f"{path}{number}.")
