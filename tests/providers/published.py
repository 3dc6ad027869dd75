"""Do our requests fit what the platforms publish about their APIs? The descriptions lie beside the repository.

They are not ours to keep in it (their licences differ). Where the folder is missing nothing is judged: each call is
counted with that reason (`not_judged`), the run's summary lists the counts, and the tests of this module are skipped.
"""

import functools
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict

from tests.providers.not_judged import not_judged

FOLDER = Path(__file__).parents[3] / "shared" / "platform-specs"
ABSENT = "the platforms' published descriptions are not beside the repository"
NOT_DESCRIBED = "its description says nothing of a body"
needs_descriptions = pytest.mark.skipif(not FOLDER.exists(), reason=ABSENT)


class _Request:
    """An httpx request as openapi-core wants to see it."""

    def __init__(self, request: httpx.Request, server: str) -> None:
        self.host_url = server
        self.path = request.url.path
        self.full_url_pattern = f"{server}{request.url.path}"
        self.method = request.method.lower()
        self.content_type = request.headers.get("content-type", "")
        self.body = request.read() or None
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(request.url.params.multi_items()),
            header=Headers(list(request.headers.items())),
        )


@functools.cache
def _description(name: str | Path) -> OpenAPI:
    return OpenAPI.from_dict(_adapted(json.loads((FOLDER / name).read_text())))


def _adapted(node: Any, key: str = "") -> Any:
    """Copy a description without what is known to be wrong in it, or is tested elsewhere.

    - security: signatures and bearer tokens are tested by the providers' own tests;
    - `oneOf` bodies: a Mastodon status with text and media is both a text and a media status;
    - `redirect_uris`: the description says array, its own documentation and older servers say string;
    - `segment_index`: an integer, which in a multipart form is written as text;
    - paths of LinkedIn's with parameters that are described nowhere, and its bodies, which it describes as text, or
      as there and of no kind.
    """
    if isinstance(node, list):
        return [_adapted(one) for one in node]
    if not isinstance(node, dict):
        return node
    if key in {"redirect_uris", "segment_index", "*/*"}:
        return {}
    if key == "paths":
        node = {path: operations for path, operations in node.items() if " " not in path}
    renamed = {"anyOf" if name == "oneOf" else name: inner for name, inner in node.items()}
    return {
        name: _adapted(inner, name)
        for name, inner in renamed.items()
        if name != "security" and inner != {"content": {}}
    }


def judge(request: httpx.Request, description: str | Path) -> None:
    """Check that the OpenAPI `description`, a name in the folder or a file elsewhere, allows `request`.

    What cannot be compared is counted: everything where the folder is absent, and a body that is not described.
    """
    if not FOLDER.exists() and not isinstance(description, Path):
        not_judged(str(description), ABSENT)
        return
    openapi = _description(description)
    server = (
        str((openapi.spec / "servers").read_value()[0]["url"]) if "servers" in openapi.spec else ""
    )
    server = (
        re.sub(r"\{[^}]*\}", request.url.host, server)
        or f"{request.url.scheme}://{request.url.host}"
    )
    asked = _Request(request, server.rstrip("/"))
    try:
        openapi.validate_request(asked)
    except OpenAPIError as error:
        causes = [str(cause) for cause in getattr(error.__cause__, "schema_errors", [])]
        raise AssertionError(
            f"{request.method} {request.url}: {error}: {error.__cause__} {causes}"
        ) from error
    if asked.body and openapi.unmarshal_request(asked).body is None:
        not_judged(f"body of {request.method} {request.url.path}", NOT_DESCRIBED)


class _Answer:
    """An httpx response as openapi-core wants to see it."""

    def __init__(self, response: httpx.Response) -> None:
        self.data = response.content
        self.status_code = response.status_code
        self.content_type = response.headers.get("content-type", "")
        self.headers = Headers(list(response.headers.items()))


def judge_answer(response: httpx.Response, description: str) -> None:
    """Check that a recorded answer, which knows its request, is one that the OpenAPI `description` allows, or count it."""
    if not FOLDER.exists():
        not_judged(description, ABSENT)
        return
    openapi = _description(description)
    server = f"{response.request.url.scheme}://{response.request.url.host}"
    try:
        openapi.validate_response(_Request(response.request, server), _Answer(response))
    except OpenAPIError as error:
        causes = [str(cause) for cause in getattr(error.__cause__, "schema_errors", [])]
        raise AssertionError(f"{response.request.url}: {error}: {causes}") from error


# Lexicons


def judge_lexicon(value: Any, reference: str) -> None:
    """Check that `value` is what the lexicon `reference` (`app.bsky.feed.post#main`) describes, or count it."""
    if FOLDER.exists():
        _Lexicon().check(value, reference)
    else:
        not_judged(reference, ABSENT)


class _Lexicon:
    """Enough of atproto.com/specs/lexicon for records and the inputs of procedures."""

    def check(self, value: Any, reference: str) -> None:
        name, _, definition = reference.partition("#")
        self._check(value, self._load(name)["defs"][definition or "main"], name, reference)

    def _load(self, name: str) -> dict[str, Any]:
        path = FOLDER / "bluesky" / "lexicons" / f"{name.replace('.', '/')}.json"
        document: dict[str, Any] = json.loads(path.read_text())
        return document

    def _check(self, value: Any, schema: dict[str, Any], home: str, at: str) -> None:
        match schema["type"]:
            case "record":
                assert value.get("$type") == home, at
                self._check(value, schema["record"], home, at)
            case "procedure":
                self._check(value, schema["input"]["schema"], home, at)
            case "query":
                self._check(value, {**schema["parameters"], "type": "object"}, home, at)
            case "object":
                self._object(value, schema, home, at)
            case "array":
                assert len(value) <= schema.get("maxLength", len(value)), f"{at}: too many"
                for index, item in enumerate(value):
                    self._check(item, schema["items"], home, f"{at}.{index}")
            case "ref":
                self._reference(value, schema["ref"], home)
            case "union":
                assert value["$type"] in [self._whole(one, home) for one in schema["refs"]], (
                    f"{at}: {value['$type']}"
                )
                self._reference(value, value["$type"], home)
            case "blob":
                assert value["$type"] == "blob", at
                assert value["size"] <= schema.get("maxSize", value["size"]), f"{at}: too big"
                accepted = [one.replace("*", ".*") for one in schema.get("accept", ["*/*"])]
                assert any(re.fullmatch(one, value["mimeType"]) for one in accepted), (
                    f"{at}: {value['mimeType']}"
                )
            case "string":
                self._string(value, schema, at)
            case "integer":
                assert type(value) is int, f"{at}: {value!r}"
                assert value >= schema.get("minimum", value), f"{at}: {value}"
            case "boolean":
                assert type(value) is bool, f"{at}: {value!r}"
            case "unknown":
                pass
            case other:
                raise AssertionError(f"{at}: the checker does not know {other}")

    def _object(self, value: Any, schema: dict[str, Any], home: str, at: str) -> None:
        known = schema.get("properties", {})
        missing = [name for name in schema.get("required", []) if name not in value]
        assert not missing, f"{at}: missing {missing}"
        unknown = [name for name in value if name not in known and name != "$type"]
        assert not unknown, f"{at}: unknown {unknown}"
        for name, inner in value.items():
            if name in known and not (inner is None and name in schema.get("nullable", [])):
                self._check(inner, known[name], home, f"{at}.{name}")

    def _string(self, value: Any, schema: dict[str, Any], at: str) -> None:
        assert isinstance(value, str), f"{at}: {value!r}"
        assert len(value.encode()) <= schema.get("maxLength", 10**9), f"{at}: too long"
        formats = {
            "did": r"did:[a-z]+:[\w.:%-]+",
            "datetime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
            "record-key": r"[\w.~:-]{1,512}",
            "at-uri": r"at://.+",
            "nsid": r"[a-zA-Z0-9.-]+\.[a-zA-Z]+",
            "uri": r"[a-z]+:.+",
            "cid": r"\w{8,}",
            "handle": r"[\w-]+(\.[\w-]+)+",
        }
        pattern = formats.get(schema.get("format", ""), r"(?s).*")
        assert re.fullmatch(pattern, value), f"{at}: {value!r} is no {schema.get('format')}"

    def _reference(self, value: Any, reference: str, home: str) -> None:
        self.check(value, self._whole(reference, home))

    def _whole(self, reference: str, home: str) -> str:
        return f"{home}{reference}" if reference.startswith("#") else reference
