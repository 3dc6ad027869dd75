"""Which sentence tells a caller what was expected of a field that Pydantic refused, in our words instead of its own."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core.core_schema import ErrorType

# By Pydantic's names for what went wrong (docs.pydantic.dev/latest/errors/validation_errors, read 2026-11); the names
# in braces are those of its context.
_SENTENCES: Mapping[str, str] = {
    "string_type": "Send a text.",
    "string_sub_type": "Send a text.",
    "string_unicode": "This text holds half of a surrogate pair, which is no character. Take it out.",
    "int_type": "Send a whole number.",
    "int_parsing": "Send a whole number.",
    "int_parsing_size": "Send a smaller number.",
    "int_from_float": "Send a whole number.",
    "float_type": "Send a number.",
    "float_parsing": "Send a number.",
    "finite_number": "Send a finite number.",
    "bool_type": "Send true or false.",
    "bool_parsing": "Send true or false.",
    "greater_than": "Send more than {gt}.",
    "greater_than_equal": "Send {ge} or more.",
    "less_than": "Send less than {lt}.",
    "less_than_equal": "Send {le} or less.",
    "multiple_of": "Send a multiple of {multiple_of}.",
    "literal_error": "Send {expected}.",
    "enum": "Send {expected}.",
    "uuid_type": "Send an id, such as 019bc0de-7a3b-7c1d-8e2f-5a6b7c8d9e0f.",
    "uuid_parsing": "Send an id, such as 019bc0de-7a3b-7c1d-8e2f-5a6b7c8d9e0f.",
    "list_type": "Send a list.",
    "set_type": "Send a list.",
    "tuple_type": "Send a list.",
    "dict_type": "Send an object.",
    "mapping_type": "Send an object.",
    "model_type": "Send an object.",
    "model_attributes_type": "Send an object.",
    "extra_forbidden": "There is no such field. Leave it out.",
    "none_required": "Send null.",
}
# Which limit was broken, and what is counted.
_AT_LEAST = {"string_too_short": "character", "too_short": "item"}
_AT_MOST = {"string_too_long": "character", "too_long": "item"}
_EXPLAINED = {
    "missing": "This is required.",
    "string_pattern_mismatch": "This does not have the right form.",
}
_OF_PYDANTIC = frozenset(get_args(ErrorType))
_EMAIL = "value is not a valid email address"


def sentence(found: Mapping[str, Any], field: FieldInfo | None = None) -> str:
    """Write what was expected. `found` is one of Pydantic's errors, `field` the one it speaks of, where that is known.

    What our own validators say is kept as it is.
    """
    kind, context = found["type"], found.get("ctx") or {}
    if kind in _EXPLAINED:
        return _explained(kind, field)
    if kind in _AT_LEAST:
        return _at_least(context["min_length"], _AT_LEAST[kind])
    if kind in _AT_MOST:
        return f"Send at most {counted(context['max_length'], _AT_MOST[kind])}."
    if kind in _SENTENCES:
        return _SENTENCES[kind].format(**{name: _plain(value) for name, value in context.items()})
    said: str = found["msg"].removeprefix("Value error, ")
    if said.startswith(_EMAIL):
        return f"This is no e-mail address. {context.get('reason', '')}".strip()
    if kind in _OF_PYDANTIC and kind not in {"value_error", "assertion_error"}:
        return "This is not what belongs here."
    return said


def field_at(model: Any, path: Sequence[str | int]) -> FieldInfo | None:
    """Find the field of a model at a path of names on the wire and list indexes.

    None: the path ends at an entry of a list, or leads through something that is no model.
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


def _explained(kind: str, field: FieldInfo | None) -> str:
    if field is None:
        return _EXPLAINED[kind]
    if kind == "string_pattern_mismatch" and field.examples:
        return f"Write it as {field.examples[0]}."
    about = ": ".join(part.rstrip(".") for part in (field.title, field.description) if part)
    return f"{_EXPLAINED[kind]} {about}." if about else _EXPLAINED[kind]


def _plain(value: Any) -> Any:
    """Write 2.0 as 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _at_least(minimum: int, what: str) -> str:
    return "This must not be empty." if minimum == 1 else f"Send at least {counted(minimum, what)}."


def counted(number: int, what: str) -> str:
    """Return a number with its noun: "1 picture", "1,200 pictures"."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
