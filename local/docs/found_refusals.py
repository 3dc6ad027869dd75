"""Finds every refusal in the code: each sentence that reaches a member, at the place where it is written.

A refusal is a call of a class whose text reaches a member, or of a function that returns such a class. The text is
read from the source; a value that is filled in at run time is a name in braces. Tables of sentences are imported.
"""

import ast
import builtins
import functools
import importlib
import inspect
import itertools
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from shared.channels.errors import status_while_connecting
from shared.posts import obstacles
from shared.posts.obstacles import OBSTACLES, Step
from shared.providers.errors import ProviderError

ROOT = Path(__file__).resolve().parents[2]
_MOST_FORMS = 8  # of one sentence, by what is filled in
_MOST_DEPTH = 3  # of functions that write a sentence for another one
_APP, _FIELD, _PLATFORM, _PART, _NOTICE = "app", "field", "platform", "part", "notice"
# By the name of a class or of one of its bases, so that a module can move.
_KINDS: Mapping[str, str] = {
    "FieldProblem": _FIELD,
    "FieldRefused": _FIELD,
    "PydanticCustomError": _FIELD,
    "ProviderError": _PLATFORM,
    "AppError": _APP,
    "OAuth2Error": _APP,
    "Broken": _PART,
    "AddressRefused": _PART,
    "AnswerTooLarge": _PART,
    "CannotUnpack": _PART,
    "Notice": _NOTICE,
    "Letter": _NOTICE,
}
# What to do when the text does not say it. The first entry for the class or one of its bases applies.
_USUAL: Mapping[str, str] = {
    "TokenExpired": "Nothing: Roost renews the token. If that fails, connect the channel again.",
    "RateLimited": "Nothing: Roost publishes when the platform's limit ends. While connecting: try again later.",
    "PlatformUnavailable": "Nothing: Roost tries again, up to five times. While connecting: try again later.",
    "OutcomeUnknown": "Check the account on the platform, then confirm the post or resend it.",
    "AppMisconfigured": "Ask the operator of this server.",
    "GrantRejected": "Connect the channel again.",
    "ChannelDisconnected": "Connect the channel again, then resend the post.",
    "MediaRejected": "Replace the file, then resend the post.",
    "ContentRejected": "Change the post, then resend it.",
    "Unsupported": "Nothing: the platform does not offer it.",
    "NotFound": "Check the id, and which organization you are in.",
    "Unauthenticated": "Sign in, or send a valid API key.",
    "Forbidden": "Ask an admin of the organization.",
    "TooManyRequests": "Wait for the seconds in `Retry-After`, then try again.",
    "ProviderError": "Connect again.",
    "Unavailable": "Try again after the seconds in `Retry-After`.",
    "Broken": "Save a new copy of the file and upload that.",
    "AddressRefused": "Use a public https address.",
    "AnswerTooLarge": "Use a smaller file.",
    "CannotUnpack": "Ask the server's owner, or upload the file.",
    "InvalidInput": "Correct the fields that `errors` names.",
    "OAuth2Error": "Correct the app's request.",
    "OAuthRefused": "Correct the app's request.",
    "Refused": "Correct the request.",
    "NoSuchRoute": "Check the path and the method.",
}
_STATUS = {Step.COMPOSE: "422", Step.WARN: "201"}
_BY_CODE: Mapping[str, str] = {
    "too_long": "Shorten the text.",
    "too_many_parts": "Remove parts.",
    "too_many_media": "Remove files.",
    "alt_too_long": "Shorten the alternative text.",
    "too_many_pixels": "Use a smaller file.",
    "too_large": "Use a smaller file.",
    "video_too_long": "Shorten the video.",
    "video_too_short": "Use a longer video.",
    "media_required": "Add a picture or a video.",
    "mixed_media": "Remove one kind.",
    "invalid_languages": "Remove languages.",
    "login_refused": "Check both, then try again.",
    "platform_refused": "Start again.",
    "access_denied": "Ask the member again.",
    "invalid_client_id": "Check the client id of the app.",
    "{state}": "Reload the post.",
    "{revision}": "Reload the post.",
    "release_known": "Nothing: the address is known.",
    "channel_not_found": "Check the id.",
    "crowded": "Nothing: it is sent in its turn.",
    "required": "Fill in the field.",
    "missing": "Send the field.",
    "unsupported_type": "Use another file.",
    "not_configured": "Ask the operator of this server.",
    "bad_request": "Use a valid API key.",
}
_SILENT = {"path", "problems", "evidence", "also", "error", "code", "context"}  # parameters
_NOT_READ = ("shared.db.migrations", "shared.core.config")


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal. `code` is empty for words that complete another sentence, `status` if no request is answered."""

    module: str
    code: str
    status: str
    words: str
    usual_remedy: str = ""


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification or email."""

    title: str
    text: str


def found_in_code() -> list[Refusal]:
    """List all refusals, in the order of the modules. A sentence that is used for a field and for a whole request is listed once."""
    found = list(_of_obstacles())
    completed: set[tuple[str, str]] = set()
    for module in _modules():
        for call in _calls(module):
            found += _refusals(call)
            completed |= {(module.name, words) for words in _templates(call)}
    of_fields = {
        (row.module, row.words)
        for row in found
        if row.status == "422" and row.code != "invalid_input"
    }
    return [
        row
        for row in dict.fromkeys(found)
        if (row.module, row.words) not in completed
        and not (row.code == "invalid_input" and (row.module, row.words) in of_fields)
    ]


def notifications() -> list[Notification]:
    """List all notifications to members, in the order of the modules."""
    calls = [call for module in _modules() for call in _calls(module)]
    return [made for call in calls if call.kind == _NOTICE for made in _notifications(call)]


@dataclass(frozen=True, slots=True)
class _Scope:
    """The function around a call, with its assignments and the class around it."""

    module: "_Module"
    owner: type | None = None
    assigned: Mapping[str, Sequence[ast.expr]] = field(default_factory=dict)
    added: Mapping[str, Sequence[ast.expr]] = field(default_factory=dict)
    # The blocks around each node; the class that each parameter stands for (`type[ProviderError]`).
    blocks: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)

    def values_of(self, name: ast.Name) -> list[ast.expr]:
        """List the values that a local can have where it is read: the assignments before it, back to an unconditional one."""
        around = self.blocks.get(id(name), ())
        found: list[ast.expr] = []
        before = sorted(self.assigned.get(name.id, ()), key=lambda value: value.lineno)
        for value in reversed(before):
            if value.lineno > name.lineno or value is name:
                continue
            found.append(value)
            if self.blocks.get(id(value), ()) == around[: len(self.blocks.get(id(value), ()))]:
                break
        return found[::-1]


@dataclass(frozen=True, slots=True)
class _Module:
    name: str
    values: Mapping[str, Any]
    tree: ast.Module
    functions: Mapping[str, ast.FunctionDef]


@dataclass(frozen=True, slots=True)
class _Call:
    kind: str
    target: Any
    made: type  # the class that the call makes or returns
    node: ast.Call
    scope: _Scope


@functools.cache
def _modules() -> tuple[_Module, ...]:
    paths = sorted([*ROOT.glob("shared/**/*.py"), *ROOT.glob("functions/*/app.py")])
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    kept = [name for name in names if not name.startswith(_NOT_READ)]
    return tuple(_module(name.removesuffix(".__init__")) for name in kept)


def _module(name: str) -> _Module:
    loaded = importlib.import_module(name)
    tree = ast.parse(Path(str(loaded.__file__)).read_text())
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return _Module(name, vars(loaded), tree, functions)


def _of_obstacles() -> Iterator[Refusal]:
    """List the sentences of the obstacles that keep a post from being published, as each step writes them."""
    for one in OBSTACLES:
        for step in Step:
            if one.sentence and step in one.at and step is not Step.STAGE:  # which has no sentence
                words = obstacles.sentence(one, step, channel="{channel}", reason="{reason}")
                usual = _BY_CODE.get(one.verdict, "")
                yield Refusal(obstacles.__name__, one.verdict, _STATUS.get(step, ""), words, usual)


def _calls(module: _Module) -> Iterator[_Call]:
    yield from _calls_in(module.tree, _Scope(module))


def _calls_in(node: ast.AST, scope: _Scope) -> Iterator[_Call]:
    for child in ast.iter_child_nodes(node):
        inner = scope
        if isinstance(child, ast.ClassDef) and scope.owner is None:
            owner = scope.module.values.get(child.name)
            inner = _Scope(scope.module, owner if isinstance(owner, type) else None)
        elif isinstance(child, ast.FunctionDef):
            inner = _within(child, scope)
        elif isinstance(child, ast.Call) and (call := _call(child, scope)):
            yield call
        yield from _calls_in(child, inner)


def _within(function: ast.FunctionDef, scope: _Scope) -> _Scope:
    assigned: dict[str, list[ast.expr]] = {}
    added: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                _assign(target, node.value, assigned)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            _assign(node.target, node.value, assigned)
        elif isinstance(node, ast.AugAssign):
            _assign(node.target, node.value, added)
    blocks: dict[int, tuple[int, ...]] = {}
    _locate(function, (), blocks)
    return _Scope(scope.module, scope.owner, assigned, added, blocks, _classes(function))


def _classes(function: ast.FunctionDef) -> dict[str, str]:
    """Find the parameters that are classes, with the name of each class."""
    every = [*function.args.args, *function.args.kwonlyargs]
    return {
        one.arg: one.annotation.slice.id
        for one in every
        if isinstance(one.annotation, ast.Subscript)
        and ast.unparse(one.annotation.value) == "type"
        and isinstance(one.annotation.slice, ast.Name)
    }


def _locate(node: ast.AST, around: tuple[int, ...], blocks: dict[int, tuple[int, ...]]) -> None:
    blocks[id(node)] = around
    for _name, value in ast.iter_fields(node):
        parts = value if isinstance(value, list) else [value]
        is_block = bool(parts) and isinstance(
            parts[0], ast.stmt | ast.ExceptHandler | ast.match_case
        )
        inner = (*around, id(parts[0])) if is_block else around
        for part in parts:
            if isinstance(part, ast.AST):
                _locate(part, inner, blocks)


def _assign(target: ast.expr, value: ast.expr, to: dict[str, list[ast.expr]]) -> None:
    if isinstance(target, ast.Name):
        to.setdefault(target.id, []).append(value)
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for name, part in zip(target.elts, value.elts, strict=False):
            _assign(name, part, to)
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.IfExp):
        for name, *parts in zip(target.elts, *_both(value), strict=False):
            _assign(name, ast.copy_location(ast.IfExp(value.test, *parts), value), to)


def _both(value: ast.IfExp) -> tuple[Sequence[ast.expr], Sequence[ast.expr]]:
    sides = (value.body, value.orelse)
    return tuple(side.elts if isinstance(side, ast.Tuple) else () for side in sides)  # type: ignore[return-value]


def _call(node: ast.Call, scope: _Scope) -> _Call | None:
    target = _resolve(node.func, scope)
    if isinstance(target, type):
        if target.__name__ == "ValueError" and scope.module.name.endswith(("schemas", "languages")):
            return _Call(_FIELD, target, target, node, scope)
        made: Any = target
    elif getattr(target, "__name__", "") == "notify":
        return _Call(_NOTICE, target, object, node, scope)
    else:
        made = _returned(target)
    kind = _kind(made)
    return _Call(kind, target, made, node, scope) if kind else None


def _resolve(node: ast.expr, scope: _Scope) -> Any:
    """Resolve the name of the called object; `super().__init__` is the class itself."""
    if isinstance(node, ast.Attribute):
        if ast.unparse(node) == "super().__init__":
            return scope.owner
        return getattr(_resolve(node.value, scope), node.attr, None)
    if not isinstance(node, ast.Name):
        return None
    if node.id in scope.classes:
        return scope.module.values.get(scope.classes[node.id])
    chosen = scope.assigned.get(node.id, ())
    if chosen and scope.module.values.get(node.id) is None:
        found = [scope.module.values.get(part.id) for part in _names_in(chosen)]
        return next((one for one in found if isinstance(one, type)), None)
    return scope.module.values.get(node.id, getattr(builtins, node.id, None))


def _names_in(values: Sequence[ast.expr]) -> list[ast.Name]:
    return [part for value in values for part in ast.walk(value) if isinstance(part, ast.Name)]


def _returned(target: Any) -> Any:
    """Return the class that a function returns, without `None`."""
    module = str(getattr(target, "__module__", ""))
    if not callable(target) or not module.startswith(("shared.", "functions.")):
        return None
    returned = getattr(target, "__annotations__", {}).get("return")
    options = typing.get_args(returned) or (returned,)
    return next((one for one in options if isinstance(one, type) and _kind(one)), None)


def _kind(made: Any) -> str:
    names = [base.__name__ for base in getattr(made, "__mro__", ())]
    return next((_KINDS[name] for name in names if name in _KINDS), "")


def _refusals(call: _Call) -> Iterator[Refusal]:
    if call.kind == _NOTICE:
        return
    usual = next(
        (_USUAL[base.__name__] for base in call.made.__mro__ if base.__name__ in _USUAL), ""
    )
    code = _code(call)
    usual = _BY_CODE.get(code, usual)
    for words in dict.fromkeys(_completed(call)):
        if " " in words.strip("{}") and not words.startswith(("http", "name=")):
            yield Refusal(call.scope.module.name, code, _status(call), words, usual)


def _completed(call: _Call) -> Iterator[str]:
    """Write a refusal's text. Where a function of the module completes a sentence, write the whole sentence."""
    arguments = _arguments(call)
    templates = _templates(call)
    if not templates:
        yield from _words(call)
    for template in templates:
        for name, value in arguments:
            if f"{{{name}}}" in template:
                yield from (
                    template.replace(f"{{{name}}}", form) for form in _forms(value, call.scope)
                )


def _templates(call: _Call) -> list[str]:
    """List the called function's sentences that one of its parameters completes."""
    if isinstance(call.target, type):
        return []
    function = call.scope.module.functions.get(getattr(call.target, "__name__", ""))
    if function is None:
        return []
    inner = list(_calls_in(function, _within(function, _Scope(call.scope.module))))
    names = [
        f"{{{name}}}"
        for name, value in _arguments(call)
        if any(" " in form for form in _forms(value, call.scope))
    ]
    words = [form for one in inner if one.target is not call.target for form in _words(one)]
    return [form for form in words if form not in names and any(name in form for name in names)]


def _words(call: _Call) -> Iterator[str]:
    for name, value in _arguments(call):
        if name in _SILENT or (_fills_in(call) and name not in {"message", "description"}):
            continue
        yield from _forms(value, call.scope)


def _fills_in(call: _Call) -> bool:
    """Return whether the class has its own sentence, completed by its arguments."""
    made = call.target
    if not isinstance(made, type) or call.kind not in (_APP, _PLATFORM) or made is call.scope.owner:
        return False
    return "__init__" in vars(made) and made.__module__.startswith("shared.")


def _arguments(call: _Call) -> list[tuple[str, ast.expr]]:
    """List a call's arguments with the names of their parameters where known."""
    names: list[str] = []
    if call.kind == _FIELD:
        names = ["path", "code", "message"]
        if call.made.__name__ in {"PydanticCustomError", "ValueError"}:
            names = names[1:] if call.made.__name__ == "PydanticCustomError" else names[2:]
    function = getattr(call.target, "__code__", None)
    if isinstance(call.target, type) and call.kind in (_APP, _PLATFORM):
        made = call.target.__mro__[1] if call.target is call.scope.owner else call.target
        function = getattr(inspect.getattr_static(made, "__init__"), "__code__", None)
    if function is not None:
        names = [name for name in function.co_varnames[: function.co_argcount] if name != "self"]
    positional = [
        (names[number] if number < len(names) else "", value)
        for number, value in enumerate(call.node.args)
    ]
    return positional + [(word.arg or "", word.value) for word in call.node.keywords]


def _code(call: _Call) -> str:
    for name, value in _arguments(call):
        if name in {"code", "reason"} and " " not in (found := _forms(value, call.scope)[0]):
            return _class_code(call) if found == "{code}" else found
    if call.made.__name__ == "ValueError":
        return "invalid"
    if call.made.__name__ in {"OAuthRefused"} or hasattr(call.made, "error"):
        first = call.node.args[0] if call.made.__name__ == "OAuthRefused" else None
        return str(
            _forms(first, call.scope)[0] if first is not None else getattr(call.made, "error", "")
        )
    return _class_code(call)


def _class_code(call: _Call) -> str:
    made = call.scope.owner if call.kind == _FIELD else call.made
    return str(getattr(made, "code", "") or "") if call.kind != _PART else ""


def _status(call: _Call) -> str:
    if call.kind == _FIELD:
        owner = call.scope.owner
        return str(getattr(owner, "status", 422)) if _kind(owner) == _APP else "422"
    if call.kind == _PLATFORM:
        return str(int(status_while_connecting(typing.cast("type[ProviderError]", call.made))))
    if call.kind == _PART:
        return ""
    named = [
        _resolve(part, call.scope)
        for part in ast.walk(call.node)
        if isinstance(part, ast.Attribute)
    ]
    given = [int(value) for value in named if isinstance(value, HTTPStatus)]
    usual = {"bad_request": 400, "not_found": 404, "post_refused": 400}.get(
        getattr(call.target, "__name__", "")
    )
    status = given[0] if given else usual or getattr(call.made, "status", None)
    return str(int(status)) if isinstance(status, int) else "400"


def _notifications(call: _Call) -> Iterator[Notification]:
    found = _arguments(call)
    named = dict(found)
    if isinstance(call.target, type):
        fields = list(getattr(call.made, "__dataclass_fields__", {}))
        named = dict(zip(fields, call.node.args, strict=False)) | {
            word.arg or "": word.value for word in call.node.keywords
        }
    title, text = named.get("title"), named.get("content", named.get("paragraphs"))
    if title is None or text is None:
        return
    titles, texts = _forms(title, call.scope), _texts(text, call.scope)
    pairs = (
        zip(titles, texts, strict=True)
        if len(titles) == len(texts)
        else itertools.product(titles, texts)
    )
    for one, other in pairs:
        if " " in one or " " in other:
            yield Notification(one, other)


def _texts(node: ast.expr, scope: _Scope) -> list[str]:
    if isinstance(node, ast.List):
        return [" ".join(_forms(part, scope)[0] for part in node.elts)]
    return _forms(node, scope)


def _forms(node: ast.expr, scope: _Scope, depth: int = 0) -> list[str]:
    """Write each form that a text can have, with names in braces for values that are filled in."""
    return _written(node, scope, depth)[:_MOST_FORMS] or [_placeholder(node)]


def _written(node: ast.expr, scope: _Scope, depth: int) -> list[str]:
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        parts = [_part(value, scope, depth) for value in node.values]
        return ["".join(one) for one in itertools.product(*parts)]
    if isinstance(node, ast.IfExp):
        return _forms(node.body, scope, depth) + _forms(node.orelse, scope, depth)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = _forms(node.left, scope, depth), _forms(node.right, scope, depth)
        return ["".join(one) for one in itertools.product(*sides)]
    if isinstance(node, ast.BoolOp):
        return [
            form for value in node.values for form in _forms(value, scope, depth) if " " in form
        ]
    if isinstance(node, ast.Name):
        return _of_name(node, scope, depth)
    if isinstance(node, ast.Subscript):
        return _of_table(node.value, scope)
    if isinstance(node, ast.Call):
        return _of_call(node, scope, depth)
    return []


def _part(node: ast.expr, scope: _Scope, depth: int) -> list[str]:
    """Write a piece of a sentence; only literal text is filled in here."""
    if not isinstance(node, ast.FormattedValue):
        return _forms(node, scope, depth)
    inner = node.value
    found = _forms(inner, scope, depth)
    if isinstance(inner, ast.IfExp | ast.JoinedStr | ast.Constant):
        return found
    is_text = {
        ast.Name: any(" " in form for form in found),
        ast.Call: found[0].endswith((".", "?")),
    }
    return found if is_text.get(type(inner)) else [_placeholder(inner)]


def _of_name(node: ast.Name, scope: _Scope, depth: int) -> list[str]:
    if node.id in scope.assigned and depth < _MOST_DEPTH:
        found = [
            form
            for value in scope.values_of(node)
            if not _mentions(value, node.id)
            for form in _forms(value, scope, depth + 1)
            if not form.startswith("{")
        ]
        more = [
            form
            for value in scope.added.get(node.id, ())
            for form in _forms(value, scope, depth + 1)
        ]
        return found + [base + end for base in found for end in more if end.strip()]
    value = scope.module.values.get(node.id)
    return [value] if isinstance(value, str) else []


def _mentions(value: ast.expr, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(value))


def _of_table(node: ast.expr, scope: _Scope) -> list[str]:
    table = _resolve(node, scope)
    if not isinstance(table, Mapping):
        return []
    return [value for value in table.values() if isinstance(value, str)]


def _of_call(node: ast.Call, scope: _Scope, depth: int) -> list[str]:
    """Read the result of `"...".strip()`, `TABLE.get(...)` or a function that writes a sentence."""
    if isinstance(node.func, ast.Attribute):
        if node.func.attr in {"strip", "format", "rstrip"}:
            return _forms(node.func.value, scope, depth)
        if node.func.attr == "get":
            rest = [form for value in node.args[1:] for form in _forms(value, scope, depth)]
            return _of_table(node.func.value, scope) + rest
    target = _resolve(node.func, scope)
    name = getattr(target, "__name__", "")
    if depth >= _MOST_DEPTH or name not in scope.module.functions:
        return []
    if target.__annotations__.get("return") not in (str, str | None):
        return []
    function = scope.module.functions[name]
    inner = _within(function, _Scope(scope.module, scope.owner))
    returned = [
        part.value for part in ast.walk(function) if isinstance(part, ast.Return) and part.value
    ]
    forms = [form for value in returned for form in _forms(value, inner, depth + 1)]
    return [form for form in forms if " " in form]


def _placeholder(node: ast.expr) -> str:
    """Name a filled-in value after the last name of its expression."""
    if isinstance(node, ast.Attribute):
        return _placeholder(node.value) if node.attr == "__name__" else f"{{{node.attr}}}"
    if isinstance(node, ast.Name):
        return f"{{{node.id.lower().strip('_')}}}"
    if isinstance(node, ast.Call) and node.args:
        return _placeholder(node.args[-1])
    if isinstance(node, ast.Call):
        return _placeholder(node.func.value if isinstance(node.func, ast.Attribute) else node.func)
    if isinstance(node, ast.Subscript):
        key = node.slice
        return (
            f"{{{key.value}}}"
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
            else _placeholder(node.value)
        )
    names: list[Callable[[], str]] = [
        functools.partial(_placeholder, part)
        for part in ast.iter_child_nodes(node)
        if isinstance(part, ast.expr) and not isinstance(part, ast.Constant)
    ]
    return names[0]() if names else "{...}"
