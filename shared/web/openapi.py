"""What the API looks like to a machine: one OpenAPI document of every function's routes."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI

from shared.web.errors import Problem

TITLE = "Roost"
_DESCRIPTION = """\
Schedule posts for many social networks at once.

**Who is calling** is said by the cookie `auth` (a browser that has signed in), by the same value in the header `auth`,
or by an API key in the header `Authorization`. Where somebody belongs to several organizations, the cookie or header
`showorg` says which is meant.

**Times** are written as `2026-01-15T10:30:00.000Z`; one without an offset is read as UTC.

**Refusals** are problem details (RFC 9457) with a stable `code`; refused fields are listed in `errors`, each with its
`path` from the body's root. `x-plan-limit` names the allowance of the plan that a route belongs to; none is counted
yet, and no request is refused for its plan. Every answer carries `x-request-id`; quote it when asking for help.
"""
_SECURITY = {
    "session": {"type": "apiKey", "in": "cookie", "name": "auth"},
    "sessionHeader": {"type": "apiKey", "in": "header", "name": "auth"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "Authorization"},
}
_LONGEST_EXAMPLE = 5  # levels; a schema may contain itself


class NameClash(Exception):
    """Two functions use one name for different things."""


def describe(apps: Iterable[FastAPI]) -> dict[str, Any]:
    """Merge the documents of the functions into one.

    Raises:
        NameClash: two functions have the same path and method, operation id, or schema name with different content.
    """
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = dict(_problem_schemas())
    operations: set[str] = set()
    for app in apps:
        document = app.openapi()
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                _add_once(operations, operation["operationId"])
                if method in paths.setdefault(path, {}):
                    raise NameClash(f"{method.upper()} {path} is in two functions")
                paths[path][method] = operation
        for name, schema in document.get("components", {}).get("schemas", {}).items():
            if schemas.setdefault(name, schema) != schema:
                raise NameClash(f"the schema {name} means two things: rename one")
    for methods in paths.values():
        for operation in methods.values():
            _complete(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": "1", "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.items())), "securitySchemes": _SECURITY},
    }


def as_text(document: Mapping[str, Any]) -> str:
    """Write the document as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _problem_schemas() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "Problem": schema}


def _add_once(operations: set[str], name: str) -> None:
    if name in operations:
        raise NameClash(f"two routes are called {name}: rename an endpoint")
    operations.add(name)


def _complete(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Add an example of the body, made from the examples of its fields."""
    for media in operation.get("requestBody", {}).get("content", {}).values():
        if "example" not in media and "examples" not in media:
            media["example"] = _example(media["schema"], schemas)


def _example(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 0) -> Any:
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rpartition("/")[2]], schemas, depth)
    for key in ("example", "default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _example(schema[key][0], schemas, depth)
    return _example_of_type(schema, schemas, depth)


def _example_of_type(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object":
        fields = schema.get("properties", {}) if depth < _LONGEST_EXAMPLE else {}
        return {name: _example(field, schemas, depth + 1) for name, field in fields.items()}
    if kind == "array":
        return [_example(schema.get("items", {}), schemas, depth + 1)]
    if kind == "string":
        return _EXAMPLE_FORMATS.get(str(schema.get("format")), "text")
    if kind in {"integer", "number"}:
        return schema.get("minimum", 1)
    return True if kind == "boolean" else None


_EXAMPLE_FORMATS = {
    "date-time": "2026-01-15T10:30:00.000Z",
    "date": "2026-01-15",
    "email": "ada@example.com",
    "uuid": "019bc0de-7a3b-7c1d-8e2f-5a6b7c8d9e0f",
    "uri": "https://example.com/",
}
