"""Our sentences for Pydantic's refusals of a field."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core.core_schema import ErrorType

# By Pydantic's error types (docs.pydantic.dev/latest/errors/validation_errors, read 2026-11); the names in braces are
# from the error's context.
SENTENCES: Mapping[str, str] = {
    "string_type": "This must be text.",
    "string_sub_type": "This must be text.",
    "string_unicode": "This text contains half of a surrogate pair, which is not a character. Remove it.",
    "int_type": "This must be a whole number.",
    "int_parsing": "This must be a whole number.",
    "int_parsing_size": "This number is too large. Send a smaller one.",
    "int_from_float": "This must be a whole number.",
    "float_type": "This must be a number.",
    "float_parsing": "This must be a number.",
    "finite_number": "This must be a finite number.",
    "bool_type": "This must be true or false.",
    "bool_parsing": "This must be true or false.",
    "greater_than": "This must be greater than {gt}.",
    "greater_than_equal": "This must be {ge} or more.",
    "less_than": "This must be less than {lt}.",
    "less_than_equal": "This must be {le} or less.",
    "multiple_of": "This must be a multiple of {multiple_of}.",
    "literal_error": "This must be {expected}.",
    "enum": "This must be {expected}.",
    "uuid_type": "This is not an id. Send one such as 019bc0de-7a3b-7c1d-8e2f-5a6b7c8d9e0f.",
    "uuid_parsing": "This is not an id. Send one such as 019bc0de-7a3b-7c1d-8e2f-5a6b7c8d9e0f.",
    "list_type": "This must be a list.",
    "set_type": "This must be a list.",
    "tuple_type": "This must be a list.",
    "dict_type": "This must be an object.",
    "mapping_type": "This must be an object.",
    "model_type": "This must be an object.",
    "model_attributes_type": "This must be an object.",
    "extra_forbidden": "This field is unknown. Leave it out.",
    "none_required": "This must be null.",
}
# The error types of exceeded limits, and what they count.
AT_LEAST = {"string_too_short": "character", "too_short": "item"}
AT_MOST = {"string_too_long": "character", "too_long": "item"}
EXPLAINED = frozenset({"missing", "string_pattern_mismatch"})
_OF_PYDANTIC = frozenset(get_args(ErrorType))
_EMAIL = "value is not a valid email address"


def sentence(found: Mapping[str, Any], field: FieldInfo | None = None) -> str:
    """Return the sentence for one of Pydantic's errors; `field` is its field if known.

    Messages of our own validators are unchanged.
    """
    kind, context = found["type"], found.get("ctx") or {}
    if kind == "missing":
        return _missing(found, field)
    if kind == "string_pattern_mismatch":
        return _mismatched(field)
    if kind in AT_LEAST:
        return _at_least(context["min_length"], AT_LEAST[kind])
    if kind in AT_MOST:
        return f"This must have at most {counted(context['max_length'], AT_MOST[kind])}."
    if kind in SENTENCES:
        return SENTENCES[kind].format(**{name: _plain(value) for name, value in context.items()})
    message: str = found["msg"].removeprefix("Value error, ")
    if message.startswith(_EMAIL):
        return f"This is not an email address. {context.get('reason', '')}".strip()
    if kind in _OF_PYDANTIC and kind not in {"value_error", "assertion_error"}:
        return "This value has the wrong type."
    return message


def field_at(model: Any, path: Sequence[str | int]) -> FieldInfo | None:
    """Find a model's field by a path of wire names and list indexes.

    None if the path ends at a list entry or leads through a value that is not a model.
    """
    found: FieldInfo | None = None
    for step in path:
        if isinstance(step, str):
            inner = _model_in(model)
            found = _field_of(inner, step) if inner else None
            if found is None:
                return None
            model = found.annotation
    return found if path and isinstance(path[-1], str) else None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Find the model in `list[Part] | None` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(part) for part in get_args(annotation))
    return next((model for model in inner if model), None)


def _field_of(model: type[BaseModel], name: str) -> FieldInfo | None:
    fields = model.model_fields.items()
    return next((field for own, field in fields if name in (own, field.alias)), None)


def _missing(found: Mapping[str, Any], field: FieldInfo | None) -> str:
    """Return the sentence for a missing field, with its title or wire name and its description."""
    path = found.get("loc") or ("This",)
    name = field.title if field and field.title else f"`{path[-1]}`" if found.get("loc") else "This"
    description = f" {field.description.rstrip('.')}." if field and field.description else ""
    return f"{name} is required.{description}"


def _mismatched(field: FieldInfo | None) -> str:
    if field is None:
        return "This is not in the right form."
    if field.examples:
        return f"This is not in the right form. Write it as {field.examples[0]}."
    about = ": ".join(part.rstrip(".") for part in (field.title, field.description) if part)
    return f"This is not in the right form.{f' {about}.' if about else ''}"


def _plain(value: Any) -> Any:
    """Format 2.0 as 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _at_least(minimum: int, what: str) -> str:
    if minimum == 1:
        return "This must not be empty."
    return f"This must have at least {counted(minimum, what)}."


def counted(number: int, what: str) -> str:
    """Return a number with its noun: "1 picture", "1,200 pictures"."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
