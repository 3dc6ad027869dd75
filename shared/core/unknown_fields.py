"""Lists the fields of a JSON value that a model does not know, by path, to refuse them or to warn about them."""

import difflib
import functools
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from shared.core.errors import FieldProblem
from shared.core.sentences import sentence

MAX_PATH_CHARACTERS = 200
MOST_NAMED = 20
"""The maximum number of unknown fields in one refusal or warning."""


def unknown_fields(model: type[BaseModel], value: Any, *, most: int = MOST_NAMED) -> list[str]:
    """List the fields of `value` that `model` does not read, at most `most`, in the order of the value.

    A path is dotted from the root: `posts.0.value.1.images`. Fields that accept any content are not searched.
    """
    found = _of_model(model, value, "")
    return [path[:MAX_PATH_CHARACTERS] for path, _ in zip(found, range(most), strict=False)]


def unknown_field(model: type[BaseModel], path: str, *, prefix: str = "") -> FieldProblem:
    """Return the refusal of an unknown field, with the most similar known name as a suggestion.

    `prefix` is where in the body the model's value is: `posts.0.settings.`.
    """
    name = path.rpartition(".")[2]
    words = (
        f"The field `{name}` is unknown. {_remedy(name, _names_at(model, path.split('.')[:-1]))}"
    )
    return FieldProblem(f"{prefix}{path}", "unknown_field", words)


def unknown_parameter(name: str, known: Iterable[str]) -> FieldProblem:
    """Return the refusal of an unknown query parameter, with the most similar of the known names as a suggestion."""
    parameter = name[:MAX_PATH_CHARACTERS]
    words = f"The query parameter `{parameter}` is unknown. {_remedy(parameter, known)}"
    return FieldProblem(parameter, "unknown_parameter", words)


def _remedy(name: str, names: Iterable[str]) -> str:
    known = {one.lower(): one for one in names}
    alike = difflib.get_close_matches(name.lower(), known, n=1)
    return f"Did you mean `{known[alike[0]]}`?" if alike else "Leave it out."


def missing_fields(model: type[BaseModel], value: Any) -> list[FieldProblem]:
    """List the top-level fields that `model` requires and `value` lacks, which the unknown ones may have been meant for."""
    if not isinstance(value, dict):
        return []
    return [
        FieldProblem(
            field.alias or name,
            "missing",
            sentence({"type": "missing", "loc": (field.alias or name,)}, field),
        )
        for name, field in model.model_fields.items()
        if field.is_required() and not {name, field.alias} & value.keys()
    ]


def models_in(kind: Any) -> list[type[BaseModel]]:
    """List the models that an annotation names: `Model`, `Model | None`, `list[Model]`, `Annotated[Model, ...]`."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    if get_origin(kind) is Annotated:
        return models_in(get_args(kind)[0])
    return [model for inner in get_args(kind) for model in models_in(inner)]


def _names_at(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """List the fields at a path; empty if it does not lead to one model."""
    for name in path:
        if name.isdigit():
            continue
        fields = {field.alias or key: field for key, field in model.model_fields.items()}
        found = models_in(fields[name].annotation) if name in fields else []
        if len(found) != 1:
            return []
        [model] = found
    return names_of(model)


def names_of(model: type[BaseModel]) -> list[str]:
    """List the wire names of a model's fields."""
    return [field.alias or key for key, field in model.model_fields.items()]


@functools.cache
def _types_of(model: type[BaseModel]) -> Mapping[str, Any]:
    """Return the type of each field by its names; None for one that holds no model, which is not searched."""
    types_by_name: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation if models_in(field.annotation) else None
        types_by_name[name] = types_by_name[field.alias or name] = kind
    return types_by_name


def _of_model(model: type[BaseModel], value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    known = _types_of(model)
    for name, inner in value.items():
        where = f"{path}{name}"
        if name in known:
            if known[name] is not None:
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
