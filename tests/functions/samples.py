"""A request that a route would take, made of what the route declares, so that a new route needs no sample of its own."""

from typing import Any

from fastapi import FastAPI

_DEPTH = 6


class Document:
    """The OpenAPI documents of all functions, by route."""

    def __init__(self, apps: list[FastAPI]) -> None:
        self._documents = [app.openapi() for app in apps]

    def operation(self, method: str, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a route's operation, and the document that its references point into."""
        for document in self._documents:
            if found := document["paths"].get(path, {}).get(method.lower()):
                return found, document
        return {}, {}

    def query(self, method: str, path: str) -> dict[str, Any]:
        """Return the query parameters that the route needs."""
        operation, document = self.operation(method, path)
        return {
            parameter["name"]: sample(parameter["schema"], document)
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "query" and parameter.get("required")
        }

    def query_names(self, method: str, path: str) -> list[str]:
        """Return the names of all query parameters that the route knows."""
        operation, _ = self.operation(method, path)
        parameters = operation.get("parameters", ())
        return [parameter["name"] for parameter in parameters if parameter["in"] == "query"]

    def body(self, method: str, path: str) -> Any:
        """Return a body for the route; None where it takes none as JSON."""
        operation, document = self.operation(method, path)
        content = operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        return None if schema is None else sample(schema, document)


def sample(schema: dict[str, Any], document: dict[str, Any], depth: int = 0) -> Any:
    """Make a value of a JSON schema: its example if it has one, else the least that fits."""
    if "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return sample(found, document, depth)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return sample(schema[key][0], document, depth)
    return _of_type(schema, document, depth)


def _of_type(schema: dict[str, Any], document: dict[str, Any], depth: int) -> Any:
    match schema.get("type"):
        case "object" if depth < _DEPTH:
            properties = schema.get("properties", {})
            return {
                name: sample(properties[name], document, depth + 1)
                for name in schema.get("required", ())
                if name in properties
            }
        case "array" if schema.get("minItems") and depth < _DEPTH:
            return [sample(schema["items"], document, depth + 1)]
        case "array":
            return []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "string":
            return _text(schema)
    return {}


def _text(schema: dict[str, Any]) -> str:
    match schema.get("format"):
        case "uuid":
            return "00000000-0000-0000-0000-000000000000"
        case "date-time":
            return "2030-01-01T10:00:00.000Z"
    return "sample".ljust(schema.get("minLength", 0), "e")
