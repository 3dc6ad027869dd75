"""Creates routes: their policy row is enforced, their refusals are documented, and they run without a thread.

posts = Router(prefix="/posts", tags=["Posts"])

@posts.post("", status_code=201)
def create_posts(body: PostDraft, member: Acting, session: Writing) -> list[CreatedPost]: ...

In the API's document the first sentence of the docstring is the route's title, the rest its description.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from pydantic.alias_generators import to_camel

from shared.access.policy import Rule, Who, rule_for
from shared.core.phrases import phrase_of
from shared.web.deps import guard, refuse_unknown_fields, refuse_unknown_parameters
from shared.web.errors import PROBLEM_JSON

PROBLEM_SCHEMA = "#/components/schemas/Problem"
# Their parameters are defined by a standard, which requires that unknown ones are ignored (RFC 6749, section 3.1).
_OF_STANDARDS = ("/oauth/authorize", "/oauth/userinfo")
Check = Callable[[Request], Awaitable[None]]
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Route(APIRoute):
    """A route whose rule is looked up when it is created: without a policy row the function does not start.

    A JSON body with unknown fields is refused, unless the route's protocol requires that they are ignored. So are unknown
    query parameters, except on public routes, because mail programs and platforms add their own parameters to links.
    """

    rule: Rule
    checks: list[Check]
    leaves_unknown_fields: ClassVar[bool] = False

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        (method,) = options["methods"]
        self.rule = rule_for(method, path)
        self.checks = [guard(self.rule)]
        if not self.leaves_unknown_fields:
            self.checks.append(refuse_unknown_fields)
            if self.rule.who is not Who.PUBLIC and not path.startswith(_OF_STANDARDS):
                self.checks.append(refuse_unknown_parameters)
        first = Depends(_in_turn(self.checks))
        options["dependencies"] = [first, *(options.get("dependencies") or ())]
        refused = self.documented(method, self.rule)
        options["responses"] = {**refused, **(options.get("responses") or {})}
        options["operation_id"] = options.get("operation_id") or to_camel(endpoint.__name__)
        options["openapi_extra"] = {**_access(self.rule), **(options.get("openapi_extra") or {})}
        options["summary"], description = _first_sentence(inspect.cleandoc(endpoint.__doc__ or ""))
        super().__init__(path, _on_this_thread(endpoint), **options)
        self.description = description  # given as an empty option, FastAPI would take the docstring

    @staticmethod
    def documented(method: str, rule: Rule) -> dict[int | str, dict[str, Any]]:
        """Describe each status that the route may refuse with."""
        return _refusals(method, rule)


class Router(APIRouter):
    """FastAPI's router, making our routes."""

    def __init__(
        self,
        *,
        prefix: str = "",
        tags: list[str] | None = None,
        route_class: type[Route] = Route,
    ) -> None:
        super().__init__(prefix=prefix, tags=list(tags or ()), route_class=route_class)


def _in_turn(checks: Sequence[Check]) -> Check:
    """Combine several dependencies into one, because FastAPI's overhead for each is larger than the time of most of them."""

    async def check(request: Request) -> None:
        for one in checks:
            await one(request)

    return check


def _on_this_thread(endpoint: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Keep FastAPI from running a `def` endpoint in a thread: a Lambda has one request at a time."""
    if inspect.iscoroutinefunction(endpoint):
        return endpoint

    @functools.wraps(endpoint)
    async def run(*args: Any, **given: Any) -> Any:
        return endpoint(*args, **given)

    return run


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document that a route answers these statuses with a problem; most are documented for every route."""
    return {
        int(status): {
            "description": phrase_of(status),
            "content": {PROBLEM_JSON: {"schema": {"$ref": PROBLEM_SCHEMA}}},
        }
        for status in sorted(statuses)
    }


def _first_sentence(text: str) -> tuple[str, str]:
    first, _, rest = text.partition("\n\n")
    sentence, _, more = first.replace("\n", " ").partition(". ")
    return sentence.rstrip("."), "\n\n".join(part for part in (more, rest) if part)


def _access(rule: Rule) -> dict[str, Any]:
    """Document who may call the route, and how often."""
    extra: dict[str, Any] = {"x-access": rule.who.value}
    if rule.who is Who.PUBLIC:
        extra["security"] = []
    else:
        ways = [] if rule.program else ["session", "sessionHeader"]
        ways += [] if rule.person else ["apiKey"]
        extra["security"] = [{way: []} for way in ways]
    if rule.rate:
        extra["x-rate-limit"] = {
            "calls": rule.rate.allowed,
            "seconds": int(rule.rate.window.total_seconds()),
            "per": rule.rate.per.value,
        }
    if rule.limit:
        extra["x-plan-limit"] = rule.limit.value
    if rule.flag:
        extra["x-plan-flag"] = rule.flag.value
    return extra


def _refusals(method: str, rule: Rule) -> dict[int | str, dict[str, Any]]:
    statuses = {
        HTTPStatus.NOT_FOUND,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    }
    if method in _WRITES:
        statuses |= {
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.CONFLICT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        }
    if rule.who is not Who.PUBLIC:
        statuses |= {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    if rule.needs_plan:
        statuses.add(HTTPStatus.PAYMENT_REQUIRED)
    if rule.rate:
        statuses.add(HTTPStatus.TOO_MANY_REQUESTS)
    return refusals(*statuses)
