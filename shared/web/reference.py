"""How the OpenAPI document looks to a person: one page, made from it, that loads nothing and runs no script."""

import json
from collections.abc import Mapping
from html import escape
from itertools import groupby
from typing import Any

STYLE = """
body{margin:0;background:#fff;color:#222;font:15px/1.55 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1rem}
h1{font-size:1.6rem}h2{margin:2.5rem 0 .5rem;font-size:1.2rem}h3{margin:1rem 0 .25rem;font-size:.9rem}
nav a{margin-right:1rem}a{color:#246}
details{border-top:1px solid #ddd}details>div{padding:0 0 1rem 1rem}
summary{padding:.5rem 0;cursor:pointer}
code,pre{font:13px/1.5 ui-monospace,monospace}
pre{margin:.25rem 0;padding:.75rem;overflow:auto;background:#f6f6f2;border-radius:6px}
b{display:inline-block;width:4.5rem;font:600 13px/1.5 ui-monospace,monospace;color:#246}
small{color:#666}table{border-collapse:collapse}td{padding:.15rem 1rem .15rem 0;vertical-align:top}
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title} API</title><style>{style}</style></head>
<body><main><h1>{title} API</h1>
{description}
<p><a href="/openapi.json">The same as an OpenAPI 3.1 document</a></p>
<nav>{contents}</nav>
{sections}
</main></body></html>
"""
_OPERATION = """<details id="{id}"><summary><b>{method}</b><code>{path}</code> <small>{summary}</small></summary><div>
{description}<p><small>For: {access}{rate}</small></p>
{parameters}{body}
<h3>Answers</h3><table>{answers}</table></div></details>
"""


def render(document: Mapping[str, Any]) -> str:
    """Make the page."""
    operations = [
        {**operation, "path": path, "method": method.upper()}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    operations.sort(key=_tag)
    by_tag = [(tag, list(group)) for tag, group in groupby(operations, key=_tag)]
    return _PAGE.format(
        title=escape(document["info"]["title"]),
        style=STYLE,
        description=_prose(document["info"]["description"]),
        contents="".join(f'<a href="#{_anchor(tag)}">{escape(tag)}</a>' for tag, _ in by_tag),
        sections="".join(_section(tag, group, document) for tag, group in by_tag),
    )


def _section(tag: str, operations: list[dict[str, Any]], document: Mapping[str, Any]) -> str:
    rows = "".join(_operation(each, document) for each in operations)
    return f'<h2 id="{_anchor(tag)}">{escape(tag)}</h2>\n{rows}'


def _operation(operation: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    return _OPERATION.format(
        id=escape(operation["operationId"]),
        method=operation["method"],
        path=escape(operation["path"]),
        summary=_marked(operation.get("summary", "")),
        description=_prose(operation.get("description", "")),
        access=escape(operation["x-access"]),
        rate=_rate(operation.get("x-rate-limit")),
        parameters=_parameters(operation.get("parameters", ())),
        body=_body(operation.get("requestBody"), document),
        answers="".join(
            f"<tr><td><code>{escape(status)}</code></td><td>{escape(_said(answer))}</td></tr>"
            for status, answer in operation["responses"].items()
        ),
    )


def _rate(rate: Mapping[str, Any] | None) -> str:
    if rate is None:
        return ""
    return f" · {rate['calls']} calls in {rate['seconds']} s for each {escape(rate['per'])}"


def _parameters(parameters: Any) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{escape(each['in'])}"
        f"{', needed' if each.get('required') else ''}</td><td>{_marked(each.get('description', ''))}</td></tr>"
        for each in parameters
    )
    return f"<h3>Parameters</h3><table>{rows}</table>" if rows else ""


def _body(body: Mapping[str, Any] | None, document: Mapping[str, Any]) -> str:
    parts = []
    for kind, media in (body or {}).get("content", {}).items():
        parts.append(f"<h3>Body <small>{escape(kind)}</small></h3>")
        if "example" in media:
            example = json.dumps(media["example"], indent=2, ensure_ascii=False)
            parts.append(f"<pre>{escape(example)}</pre>")
        parts.append(_fields(media["schema"], document))
    return "".join(parts)


def _fields(schema: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """List what a body consists of, one level deep."""
    named = _resolved(schema, document)
    needed = set(named.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td>"
        f"<td>{escape(_type(field))}{', needed' if name in needed else ''}</td>"
        f"<td>{_marked(field.get('description', ''))}</td></tr>"
        for name, field in named.get("properties", {}).items()
    )
    return f"<table>{rows}</table>" if rows else ""


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kind = str(schema.get("format") or schema.get("type") or "anything")
    limits = {
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "minimum": "from {}",
        "maximum": "to {}",
    }
    said = [words.format(schema[key]) for key, words in limits.items() if key in schema]
    return ", ".join([kind, *said])


def _said(answer: Mapping[str, Any]) -> str:
    for media in answer.get("content", {}).values():
        schema = media.get("schema", {})
        if schema:
            return f"{answer['description']}: {_type(schema)}"
    return str(answer["description"])


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _prose(text: str) -> str:
    return "".join(f"<p>{_marked(part)}</p>\n" for part in text.split("\n\n") if part.strip())


def _marked(text: str) -> str:
    """Set `code` and **strong** as such; everything else is text."""
    marked = escape(text.replace("\n", " "))
    for mark, tag in (("`", "code"), ("**", "strong")):
        parts = marked.split(mark)
        marked = "".join(
            f"<{tag}>{part}</{tag}>" if index % 2 else part for index, part in enumerate(parts)
        )
    return marked


def _tag(operation: Mapping[str, Any]) -> str:
    return str((operation.get("tags") or ["Other"])[0])


def _anchor(tag: str) -> str:
    return escape(tag.lower().replace(" ", "-"))
