"""Merges the routes of all functions into one OpenAPI document.

It is for people on `/docs` and for client generators: schemas have names that are suitable for classes, every operation
says who may call it and how often, and nothing in it is unused.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from shared.apps.scopes import PROPOSE, READ, WRITE
from shared.core.phrases import phrase_of
from shared.web.errors import Problem

TITLE = "Roost"
_DESCRIPTION = """Schedule posts for many social networks at once.

**Which routes are for you.** A program that works for an organization calls the *Public API*, whose wire contract
existing clients speak. The other routes are those of the console; most of them accept an API key too, and their
refusals have more detail.

**Authentication** is an API key or a token in the header `Authorization`, the cookie of a browser that has signed in
(`__Host-auth` where the public address is https, `auth` on http), or the same value in the header `auth`. For members of
several organizations, the cookie (`__Host-showorg` or `showorg`) or the header `showorg` selects one; a key and a token
belong to one organization. An organization that is not open to the caller is refused (403 `organization_gone`). The
button *Authorize* takes either; requests that you try out on this page are carried out.

**Cookies write only from Roost's own pages.** A request that changes something and is authenticated by cookies alone is refused
(403 `origin_refused`) unless `Sec-Fetch-Site` is `same-origin` or `none`, or `Origin` is the public address or one of
`CORS_ORIGINS`. A program that keeps cookies sends that `Origin`.

**Times** are written as `2026-01-15T10:30:00.000Z`; one without an offset is read as UTC.

**Refusals** are problem details (RFC 9457) with a stable `code`; refused fields are listed in `errors`, each with its
`path` from the body's root. The public API has bodies of its own. Where plans apply, `x-plan-limit` names
what of the plan a route uses up, and `x-plan-flag` what the plan must include; a 402 has `section`, `limit`, `used` and
`neededPlan`. Every response has `x-request-id`; quote it when asking for help.
"""
# In display order. Every route's tag is listed here.
TAGS = {
    "Public API": "For programs, with an API key or a token. Also served at `/api/public/v1`.",
    "MCP": "The public API's tools for language models (Model Context Protocol).",
    "Third-party apps": (
        "How third-party apps get access: OAuth 2 with PKCE, their registration, and devices."
    ),
    "Posts": "Compose, change, schedule and follow posts.",
    "Channels": "Connected accounts: connect, choose pages, set posting times, disable.",
    "Media": "Files. Clients upload them directly to storage, at addresses that these routes sign.",
    "Webhooks": "Webhooks that receive events about posts, and the log of deliveries.",
    "Customers": "The clients that channels belong to, if an organization posts for others.",
    "Notifications": "Notifications to members.",
    "Announcements": "What the operators of the server tell its members.",
    "Organization": "The organization and its team.",
    "User": "The signed-in user: profile, sessions, emails, API keys.",
    "Signing in": "Accounts: register, sign in and out, reset passwords.",
    "Operators": "For super admins: people, organizations, failed posts of the whole server.",
    "Running": "Whether the system is running, and what it can do.",
}
_SECURITY = {
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": (
            "An API key, with or without `Bearer ` before it: `Authorization: roost_…`. Admins "
            "create keys with `POST /user/api-key`, to read, or to read and write. Access tokens "
            "(`pos_…`) work here too."
        ),
    },
    "oauth": {
        "type": "oauth2",
        "description": (
            "An access token that a member granted an app. Send it like a key. Members revoke it "
            "with `DELETE /oauth/grants/{grant_id}`. Apps without a secret need PKCE (S256)."
        ),
        "flows": {
            "authorizationCode": {
                "authorizationUrl": "/oauth/authorize",
                "tokenUrl": "/oauth/token",
                "scopes": {
                    READ: "See your name and address, channels and their customers, posts, files and notifications.",
                    PROPOSE: "Write posts, which wait for approval, and upload files.",
                    WRITE: (
                        "Change these: write and delete posts, upload files, connect and "
                        "remove channels."
                    ),
                },
            }
        },
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "auth",
        "description": "Set by `POST /auth/login` and kept by the browser; there is nothing to "
        "fill in here. Where the public address is https, its name is "
        "`__Host-auth`.",
    },
    "sessionHeader": {
        "type": "apiKey",
        "in": "header",
        "name": "auth",
        "description": "The same value, for clients that keep no cookies.",
    },
}
_RATE_HEADERS = {
    "X-RateLimit-Limit": "How many calls the limit allows.",
    "X-RateLimit-Remaining": "How many of these calls are left.",
    "X-RateLimit-Reset": "Seconds until more calls are available.",
}
_HEADERS = {
    name: {"description": words, "schema": {"type": "integer"}}
    for name, words in {
        **_RATE_HEADERS,
        "Retry-After": "Seconds to wait before trying again.",
    }.items()
}
# FastAPI adds this status even to routes that answer refused fields with another one.
_FASTAPIS_REFUSAL = {"$ref": "#/components/schemas/HTTPValidationError"}
# A body over 10 MB, the gateway's throttle, and a function that fails or times out. Source:
# docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html, read 2026-11; tried on the local gateway.
_BY_THE_GATEWAY = frozenset({413, 429, 500, 503})
_GATEWAY_REFUSAL = {
    "title": "GatewayRefusal",
    "description": (
        "An answer of the gateway in front of Roost: the body is too large, there are too "
        "many requests, or Roost did not respond."
    ),
    "type": "object",
    "required": ["message"],
    "properties": {"message": {"type": "string", "examples": ["Request Entity Too Large"]}},
}
_LONGEST_EXAMPLE = 8  # levels, because a schema can contain itself
# Descriptions of parameters whose route has none.
_PARAMETERS = {
    "api_key": (
        "An API key, for clients that cannot send a header. It ends up in the logs of proxies."
    ),
    "channel": "Only these channels, by id.",
    "channel_id": "A channel's id.",
    "client_id": "The app.",
    "code": "The code that the device shows.",
    "code_challenge": "PKCE: the SHA-256 of the verifier, in base64url.",
    "code_challenge_method": "`S256`.",
    "connecting": "What the browser received when the connection started.",
    "cursor": "Where the previous page ended, from its `Link` header or `nextCursor`.",
    "customer": "Only this customer's channels, by id.",
    "customer_id": "A customer's id.",
    "delivery_id": "A delivery's id.",
    "endDate": "The end, inclusive.",
    "grant_id": "A permission's id, from `GET /oauth/grants`.",
    "group": "Only this customer, by id.",
    "group_id": "The id of a compose action.",
    "Idempotency-Key": (
        "Any text that is new for each request. If you send it again, the first response is "
        "returned and nothing is created."
    ),
    "issuer": "The authorization server's name.",
    "key_id": "An API key's id, not the key.",
    "kind": "Only this kind.",
    "limit": "The maximum number of results.",
    "media_id": "A file's id.",
    "name": "A name, or part of one.",
    "page": "The page's number; the first is 0.",
    "post_id": "A post's id.",
    "provider": "A platform's slug, such as `mastodon`.",
    "redirect_uri": "The redirect address; one of the app's.",
    "response_type": "`code`.",
    "scope": "The requested scopes, separated by spaces: `mcp:read`, `mcp:propose`, `mcp:write`.",
    "session_id": "A session's id.",
    "announcement_id": "An announcement's id, from `GET /announcements`.",
    "connection_id": "A company login's id, from `GET /settings/company-login`.",
    "domain_id": "A domain's id, from `GET /settings/company-login`.",
    "queue": "The name of a queue: `publish`.",
    "login_id": "A login's id.",
    "recovery_id": "A recovery's id.",
    "factor_id": "A second factor's id.",
    "device_id": "A device's id.",
    "startDate": "The start, inclusive.",
    "state": "Only this state.",
    "tag": "Only posts with this tag, by id.",
    "tag_id": "A tag's id.",
    "timezone": "The IANA time zone of days.",
    "webhook_id": "A webhook's id.",
    "invitation_id": "An invitation's id, from `GET /settings/team`.",
    "offer_id": "The id of an offer, from `GET /organizations/ownership`.",
    "user_id": "A member's id: `user.id` of `GET /settings/team`.",
}
_WHAT_TAKES_TOKENS = "The path of the protected resource, such as `mcp`."
_ROUTE_PARAMETERS = {
    ("/admin/people/{user_id}/sessions", "user_id"): "A person's id, from `GET /admin/people`.",
    ("/.well-known/oauth-authorization-server/{name}", "name"): _WHAT_TAKES_TOKENS,
    ("/.well-known/oauth-protected-resource/{name}", "name"): _WHAT_TAKES_TOKENS,
    (
        "/oauth/authorize",
        "state",
    ): "Returned unchanged, so that an app recognizes its own request.",
    ("/webhooks/send", "url"): "Where the body is sent.",
}


class NameClash(Exception):
    """Two functions use one name for different objects."""


class Undescribed(Exception):
    """An element of the document has no description."""


def describe(apps: Iterable[FastAPI]) -> dict[str, Any]:
    """Merge the documents of the functions into one.

    Raises:
        NameClash: two functions have the same path and method, operation id, or schema name with different content.
        Undescribed: a tag or a parameter has no description.
    """
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {**_problem_schemas(), "GatewayRefusal": _GATEWAY_REFUSAL}
    operations: set[str] = set()
    for app in apps:
        document = _with_fit_names(app.openapi())
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                _add_once(operations, operation["operationId"])
                if method in paths.setdefault(path, {}):
                    raise NameClash(f"{method.upper()} {path} is in two functions")
                paths[path][method] = operation
        for name, schema in document.get("components", {}).get("schemas", {}).items():
            if schemas.setdefault(name, schema) != schema:
                raise NameClash(f"the schema {name} means two things: rename one")
    for path, methods in paths.items():
        for method, operation in methods.items():
            _complete(path, method, operation, schemas)
    _drop_defaults(schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": "1",
            "description": _DESCRIPTION,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The installation that serves this document"}],
        "tags": [{"name": name, "description": words} for name, words in TAGS.items()],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(_used(paths, schemas).items())),
            "headers": _HEADERS,
            "securitySchemes": _SECURITY,
        },
    }


def as_text(document: Mapping[str, Any]) -> str:
    """Serialize the document for the repository."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _problem_schemas() -> dict[str, Any]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "Problem": schema}


def _add_once(operations: set[str], name: str) -> None:
    if name in operations:
        raise NameClash(f"two routes are called {name}: rename an endpoint")
    operations.add(name)


def _with_fit_names(document: dict[str, Any]) -> dict[str, Any]:
    """Give forms names that are suitable for classes; FastAPI uses the route's name with an underscore.

    Raises:
        NameClash: two models of one function have the same name, and FastAPI has put their modules before it.
    """
    renamed: dict[str, str] = {}
    for name in document.get("components", {}).get("schemas", {}):
        if "__" in name:
            raise NameClash(f"the schema {name} has the name of another: rename one")
        if name.startswith("Body_"):
            operation = name.removeprefix("Body_")
            renamed[name] = f"{operation[0].upper()}{operation[1:]}Form"
    text = json.dumps(document)
    for old, new in renamed.items():
        text = text.replace(f'"#/components/schemas/{old}"', f'"#/components/schemas/{new}"')
        text = text.replace(f'"{old}"', f'"{new}"')
    named: dict[str, Any] = json.loads(text)
    for name in renamed.values():
        _mark_files(named["components"]["schemas"][name])
    return named


def _mark_files(form: dict[str, Any]) -> None:
    """Describe a form's files as required, with the keyword for files that generators know.

    OpenAPI 3.1 has another keyword, which generators ignore. A route without the file refuses with its own reason.
    """
    for name, field in form["properties"].items():
        for each in (field, *field.get("anyOf", ())):
            if each.get("contentMediaType") == "application/octet-stream":
                form["properties"][name] = {**field, **each, "format": "binary"}
                form["properties"][name].pop("anyOf", None)
                form["required"] = sorted({*form.get("required", ()), name})


def _complete(
    path: str, method: str, operation: dict[str, Any], schemas: Mapping[str, Any]
) -> None:
    """Complete an operation with generated descriptions."""
    for tag in operation["tags"]:
        if tag not in TAGS:
            raise Undescribed(f"the tag {tag} is not in TAGS")
    words = operation.get("description", "")
    operation["description"] = "\n\n".join(filter(None, (words, _who_and_how_often(operation))))
    for parameter in operation.get("parameters", ()):
        if "description" not in parameter:
            parameter["description"] = _of_parameter(path, parameter["name"])
    for media in operation.get("requestBody", {}).get("content", {}).values():
        if "example" not in media and "examples" not in media:
            media["example"] = _example(media["schema"], schemas)
    if {"apiKey": []} in operation["security"]:
        scope = READ if method == "get" else WRITE
        operation["security"].append({"oauth": [scope]})
    operation["responses"] = {
        status: answer
        for status, answer in operation["responses"].items()
        if answer.get("content", {}).get("application/json", {}).get("schema") != _FASTAPIS_REFUSAL
    }
    for status, answer in operation["responses"].items():
        _complete_answer(int(status), answer, is_limited="x-rate-limit" in operation)
        _add_examples(answer, schemas)
        if int(status) in _BY_THE_GATEWAY:
            _add_gateway(answer)


def _complete_answer(status: int, answer: dict[str, Any], *, is_limited: bool) -> None:
    if answer["description"] == "Successful Response":
        answer["description"] = phrase_of(status)
    for kind, media in answer.get("content", {}).items():
        if kind.startswith("text/"):
            media.setdefault("schema", {"type": "string"})
    if is_limited and (
        status < HTTPStatus.MULTIPLE_CHOICES or status == HTTPStatus.TOO_MANY_REQUESTS
    ):
        names = [*_RATE_HEADERS]
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            names.append("Retry-After")
        answer["headers"] = {
            **answer.get("headers", {}),
            **{name: {"$ref": f"#/components/headers/{name}"} for name in names},
        }


def _add_examples(answer: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    for kind, media in answer.get("content", {}).items():
        is_json = kind == "application/json" or kind.endswith("+json")
        if is_json and "schema" in media and not {"example", "examples"} & media.keys():
            media["example"] = _example(media["schema"], schemas)


def _add_gateway(answer: dict[str, Any]) -> None:
    """Add the gateway's own answers."""
    media = answer.setdefault("content", {}).setdefault("application/json", {})
    refusal = {"$ref": "#/components/schemas/GatewayRefusal"}
    media["schema"] = {"anyOf": [media["schema"], refusal]} if "schema" in media else refusal
    media.setdefault("example", {"message": "Request Entity Too Large"})


def _drop_defaults(schemas: Mapping[str, Any]) -> None:
    """Describe defaults in words, because generators treat a field with a `default` as always present."""
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            if "default" not in field:
                continue
            default = field.pop("default")
            if default not in (None, [], {}):
                description = field.get("description", "")
                words = f"Left out: `{json.dumps(default)}`."
                field["description"] = f"{description} {words}".strip()


def _who_and_how_often(operation: Mapping[str, Any]) -> str:
    who = operation["x-access"]
    words = "For anybody" if who == "anybody" else f"For the role *{who}* and those above it"
    if who == "super admin":
        words = "For super admins"
    rate = operation.get("x-rate-limit")
    if rate is None:
        return f"{words}."
    window = timedelta(seconds=rate["seconds"])
    return f"{words}; at most {rate['calls']} calls in {_in_words(window)} for each {rate['per']}."


def _in_words(window: timedelta) -> str:
    seconds = int(window.total_seconds())
    for unit, length in (("hour", 3600), ("minute", 60)):
        if seconds % length == 0:
            many = seconds // length
            return f"{many} {unit}s" if many > 1 else f"{'an' if unit == 'hour' else 'a'} {unit}"
    return f"{seconds} seconds"


def _of_parameter(path: str, name: str) -> str:
    words = _ROUTE_PARAMETERS.get((path, name)) or _PARAMETERS.get(name)
    if words is None:
        raise Undescribed(f"the parameter {name} of {path} has no description")
    return words


def _used(paths: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Remove unused schemas: FastAPI describes its own refusals, which no route of ours answers."""
    found: set[str] = set()
    waiting = set(_references(paths))
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= set(_references(schemas[name])) - found
    return {name: schemas[name] for name in found}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(reference := node.get("$ref"), str) and "/schemas/" in reference:
            yield reference.rpartition("/")[2]
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _references(each)


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
        fields = _worth_showing(schema) if depth < _LONGEST_EXAMPLE else {}
        return {
            name: _EXAMPLE_NAMES[name]
            if name in _EXAMPLE_NAMES and _is_plain(field)
            else _example(field, schemas, depth + 1)
            for name, field in fields.items()
        }
    if kind == "array":
        return [_example(schema.get("items", {}), schemas, depth + 1)]
    if kind == "string":
        return _EXAMPLE_FORMATS.get(str(schema.get("format")), "text")
    if kind in {"integer", "number"}:
        return schema.get("minimum", 1)
    return True if kind == "boolean" else None


def _is_plain(field: Mapping[str, Any]) -> bool:
    """Return whether a field is a text or a number without an example."""
    kinds = [field, *field.get("anyOf", ())]
    return not any("examples" in one or "format" in one or "$ref" in one for one in kinds) and any(
        one.get("type") in {"string", "integer", "number"} and "enum" not in one for one in kinds
    )


def _worth_showing(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the required fields and those with an example, because invented values would be refused.

    If there are none, choose all fields.
    """
    fields: dict[str, Any] = schema.get("properties", {})
    needed = set(schema.get("required", ()))
    chosen = {
        name: field
        for name, field in fields.items()
        if name in needed or "example" in field or field.get("examples")
    }
    return chosen or fields


# Example values by field name, for fields without an example.
_EXAMPLE_NAMES: Mapping[str, Any] = {
    "alt": "An owl on a branch",
    "color": "#2f6f4f",
    "content": "<p>Good morning</p>",
    "creationMethod": "API",
    "delay": 5,
    "description": "Finds a company page by its address.",
    "email": "ada@example.org",
    "error": "Mastodon allows at most 500 characters; this part has 501.",
    "key": "url",
    "limit": 100,
    "link": "https://roost.example/app/posts/019bc0de-7a3b-7c1d-8e2f-5a6b7c8d9e0f",
    "maxLength": 500,
    "methodName": "company",
    "name": "Ada Lovelace",
    "originalName": "owl.png",
    "page": 0,
    "path": "https://media.roost.example/files/owl.png",
    "percentageChange": 2.4,
    "picture": "https://media.roost.example/ada.png",
    "profile": "ada",
    "providerIdentifier": "mastodon",
    "releaseId": "114012345678901234",
    "releaseURL": "https://mastodon.social/@ada/114012345678901234",
    "rules": "Mastodon allows up to 50 parts: the first is the post, each one after it is a reply.",
    "subscriptionTier": "FREE",
    "thumbnail": "https://media.roost.example/files/owl-small.png",
    "thumbnailTimestamp": 2500,
    "total": 250,
    "type": "string",
    "url": "https://www.linkedin.com/oauth/v2/authorization?client_id=roost&state=8f2c",
}
_EXAMPLE_FORMATS = {
    "date-time": "2026-01-15T10:30:00.000Z",
    "date": "2026-01-15",
    "email": "ada@example.com",
    "binary": "the bytes of the file",
    "uuid": "019bc0de-7a3b-7c1d-8e2f-5a6b7c8d9e0f",
    "uri": "https://example.com/",
}
