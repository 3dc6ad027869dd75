"""Whether every answer is one that a client can rely on: what was refused, why, and under which id."""

import gzip
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import pytest
from fastapi import FastAPI, Query
from pydantic import Field
from sqlalchemy import Engine, text
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError

from shared.access.policy import PERSON, POLICY, SIGN_UP, Rule, Who
from shared.core.errors import Conflict, FieldProblem, InvalidInput, TooManyRequests
from shared.core.ids import new_id
from shared.core.wire import RequestModel, TimezoneName, WireModel, WireTime
from shared.db.session import dispose, engine
from shared.organizations.models import Organization
from shared.web.app import make_app
from shared.web.deps import Reading, Writing
from shared.web.edge import BodyLimit
from shared.web.routing import Router
from tests.conftest import Configure
from tests.counting import count_statements
from tests.gateway import Gateway

ITEM = f"/items/{new_id()}"


class Part(RequestModel):
    long_text: str = ""


class Item(WireModel):
    publish_date: WireTime | None = None
    parts: list[Part] = Field(default_factory=list)
    timezone: TimezoneName = "UTC"
    color: str | None = Field(default=None, pattern="^#[0-9a-f]{6}$", examples=["#2f6f4f"])


class Broken(Exception):
    """Nobody foresaw it."""


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, _environment: None) -> FastAPI:
    for key in (
        "POST /items/{item_id}", "GET /items", "GET /items/fails/{how}", "GET /items/count",
    ):  # fmt: skip
        monkeypatch.setitem(POLICY, key, Rule(Who.PUBLIC, unlimited="It needs no database."))
    monkeypatch.setitem(POLICY, "POST /items", Rule(Who.PUBLIC, rate=SIGN_UP))
    monkeypatch.setitem(POLICY, "GET /items/mine", PERSON)
    router = Router(prefix="/items", tags=["Items"])

    @router.post("/{item_id}", status_code=201)
    def make_item(item_id: UUID, body: Item) -> Item:
        """Make an item. It is not kept."""
        return body

    @router.get("")
    def list_items(
        limit: Annotated[int, Query(ge=1)] = 1,
        revision: Annotated[
            str, Query(alias="rev", pattern="^[0-9]+$", description="What was read.")
        ] = "1",
    ) -> int:
        return limit

    @router.get("/fails/{how}")
    def fail(how: str) -> None:
        raise _FAILURES[how]

    @router.post("", status_code=201)
    def store(session: Writing) -> str:
        session.add(Organization(id=new_id(), name="stored"))
        return "stored"

    @router.get("/count")
    def count(session: Reading) -> int:
        return session.query(Organization).count()

    @router.get("/mine")
    def mine() -> str:
        return "mine"

    return make_app("items", routers=[router])


_FAILURES: dict[str, Exception] = {
    "conflict": Conflict("It has changed."),
    "field": InvalidInput(
        "No.", problems=[FieldProblem("posts.0.value.1.content", "too_long", "Shorter.")]
    ),
    "often": TooManyRequests("Slower.", retry_after_seconds=7),
    "unforeseen": Broken("the password is hunter2"),
    "connection": InterfaceError("select 1", {}, Exception("gone")),
    "server": OperationalError("select 1", {}, Exception("gone")),
    # A writer that became a reader refuses every write and is no class of its own.
    "reader": ProgrammingError(
        "insert", {}, Exception({"C": "25006"}), connection_invalidated=True
    ),
    "full": OperationalError("insert", {}, Exception({"C": "53100", "M": "No space left"})),
}


@pytest.fixture
def gateway(app: FastAPI) -> Gateway:
    return Gateway(app)


class TestProblem:
    def test_of_an_anticipated_failure(self, gateway: Gateway) -> None:
        answer = gateway.get("/items/fails/conflict")
        assert answer.status == 409
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json == {
            "type": "about:blank",
            "title": "Conflict",
            "status": 409,
            "detail": "It has changed.",
            "code": "conflict",
        }

    def test_names_the_refused_field(self, gateway: Gateway) -> None:
        answer = gateway.get("/items/fails/field")
        assert answer.json["errors"] == [
            {"path": "posts.0.value.1.content", "code": "too_long", "message": "Shorter."}
        ]

    def test_says_when_to_come_back(self, gateway: Gateway) -> None:
        answer = gateway.get("/items/fails/often")
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")

    @pytest.mark.parametrize("how", ["connection", "server", "reader"])
    def test_of_a_database_that_does_not_answer_is_503(self, gateway: Gateway, how: str) -> None:
        answer = gateway.get(f"/items/fails/{how}")
        assert (answer.status, answer.json["code"]) == (503, "unavailable")
        # Finding 8.6: a cluster that wakes is no reason to give up.
        assert answer.headers["retry-after"] == "10"

    def test_of_a_full_disk_is_said_as_it_is(self, gateway: Gateway) -> None:
        """Finding 6.4."""
        answer = gateway.get("/items/fails/full")
        assert answer.status == 503
        assert answer.json["detail"].startswith(
            "The database's disk is full, so nothing was stored."
        )

    def test_of_an_unforeseen_failure_tells_the_incident_and_nothing_else(
        self, gateway: Gateway, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = gateway.get("/items/fails/unforeseen")
        assert (answer.status, answer.json["code"]) == (500, "unexpected")
        assert "hunter2" not in answer.text
        (record,) = [each for each in caplog.records if each.message == "error.unexpected"]
        assert record.__dict__["incident"] == answer.json["incident"]
        assert record.exc_info

    def test_of_an_unknown_route_and_method(self, gateway: Gateway) -> None:
        assert gateway.get("/nowhere").json["code"] == "no_such_route"
        answer = gateway.delete("/items/fails/x")
        assert (answer.status, answer.json["code"]) == (405, "method_not_allowed")
        assert answer.headers["allow"] == "GET, HEAD"
        assert gateway.delete("/items").headers["allow"] == "GET, HEAD, POST"

    def test_of_a_packed_body_names_the_header(self, gateway: Gateway) -> None:
        packed = {"content-encoding": "gzip", "content-type": "application/json"}
        answer = gateway.call("POST", "/items", headers=packed, content=gzip.compress(b"{}"))
        assert (answer.status, answer.json["code"]) == (400, "unreadable")
        assert "without `Content-Encoding`" in answer.json["detail"]

    @pytest.mark.usefixtures("session")
    def test_of_nobody_asks_for_a_login(self, gateway: Gateway) -> None:
        answer = gateway.get("/items/mine")
        assert answer.status == 401
        assert "www-authenticate" in answer.headers


class TestBody:
    @pytest.mark.parametrize(
        "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
    )
    def test_nul_is_found_whatever_the_encoding(self, gateway: Gateway, encoding: str) -> None:
        """Finding 2.8: JSON in UTF-16 passed the filter, and the database answered 500."""
        headers = {"content-type": "application/json"}
        bad = '{"parts":[{"longText":"a\\u0000b"}]}'.encode(encoding)
        refused = gateway.call("POST", ITEM, content=bad, headers=headers)
        assert (refused.status, refused.json["errors"][0]["path"]) == (422, "parts.0.longText")
        good = '{"parts":[{"longText":"Zoë"}]}'.encode(encoding)
        answer = gateway.call("POST", ITEM, content=good, headers=headers)
        assert (answer.status, answer.json["parts"][0]["longText"]) == (201, "Zoë")

    def test_what_cannot_be_decoded_is_unreadable(self, gateway: Gateway) -> None:
        half = b"\x00{\xd8\x00\x00}"
        headers = {"content-type": "application/json"}
        answer = gateway.call("POST", ITEM, content=half, headers=headers)
        assert (answer.status, answer.json["code"]) == (400, "unreadable")

    @pytest.mark.parametrize(
        "sent", ["", "{", "[]", "1", '"x"', "null", "\xff", "[" * 100_000, '{"a":' * 100_000]
    )
    def test_unreadable_one_is_400(self, gateway: Gateway, sent: str) -> None:
        answer = gateway.post(ITEM, text=sent)
        assert (answer.status, answer.json["code"]) == (400, "unreadable")

    def test_one_that_is_not_said_to_be_json_is_400(self, gateway: Gateway) -> None:
        answer = gateway.post(ITEM, text="{}", headers={"content-type": "text/plain"})
        assert answer.status == 400
        assert "Content-Type: application/json" in answer.json["detail"]

    @pytest.mark.parametrize(
        ("sent", "why"),
        [
            ('{"parts": [}', "Expecting value, at character 11."),
            ("[]", "The body is not a JSON object. Send one."),
            ("null", "The body is not a JSON object. Send one."),
        ],
    )
    def test_why_one_is_unreadable_is_said(self, gateway: Gateway, sent: str, why: str) -> None:
        assert why in gateway.post(ITEM, text=sent).json["detail"]

    @pytest.mark.parametrize(
        ("body", "path", "code"),
        [
            ({"publishDate": "soon"}, "publishDate", "invalid_time"),
            ({"publishDate": 1768472000}, "publishDate", "invalid_time"),
            ({"publishDate": "1768472000"}, "publishDate", "invalid_time"),
            ({"publishDate": "0001-01-01T00:00:00+14:00"}, "publishDate", "invalid_time"),
            ({"parts": [{}, {"longText": 1}]}, "parts.1.longText", "string_type"),
            ({"parts": [{"longText": "x" * 200_001}]}, "parts.0.longText", "too_long"),
            ({"parts": [{"longText": "\ud800"}]}, "parts.0.longText", "lone_surrogate"),
            ({"timezone": "../../etc/passwd"}, "timezone", "unknown_timezone"),
            ({"parts": [{}, {"longText": "a\0b"}]}, "parts.1.longText", "nul_character"),
        ],
    )
    def test_refused_field_is_named_from_the_root(
        self, gateway: Gateway, body: Any, path: str, code: str
    ) -> None:
        answer = gateway.post(ITEM, body)
        assert answer.status == 422
        assert [(each["path"], each["code"]) for each in answer.json["errors"]] == [(path, code)]

    def test_refused_query_is_named(self, gateway: Gateway) -> None:
        answer = gateway.get("/items", query={"limit": 0})
        assert answer.json["errors"][0]["path"] == "limit"

    def test_what_was_expected_is_said_in_words(self, gateway: Gateway) -> None:
        [problem] = gateway.post(ITEM, {"color": "green"}).json["errors"]
        assert (problem["path"], problem["message"]) == (
            "color",
            "This is not in the right form. Write it as #2f6f4f.",
        )
        [problem] = gateway.get("/items", query={"rev": "x"}).json["errors"]
        assert problem["message"] == "This is not in the right form. What was read."
        [problem] = gateway.get("/items", query={"limit": 0}).json["errors"]
        assert problem["message"] == "This must be 1 or more."

    def test_large_one_is_413(self, gateway: Gateway) -> None:
        answer = gateway.post(ITEM, {"parts": [{"longText": "x" * 100_000}] * 21})
        assert (answer.status, answer.json["code"]) == (413, "body_too_large")

    def test_large_headers_are_431(self, gateway: Gateway) -> None:
        fits = gateway.call("GET", "/items", headers={"x-filler": "x" * 15_000})
        assert fits.status == 200
        answer = gateway.call("GET", "/items", headers={"x-filler": "x" * 16_400})
        assert (answer.status, answer.json["code"]) == (431, "headers_too_large")

    def test_path_with_a_limit_of_its_own_refuses_in_its_own_words(self, app: FastAPI) -> None:
        class TooMuch(Conflict):
            """Told by the path."""

        limits = {ITEM: BodyLimit(1_000, lambda most: TooMuch(f"At most {most}."))}
        router = Router()
        router.routes.extend(app.router.routes)
        gateway = Gateway(
            make_app("items", routers=[router], max_body_bytes=500, body_limits=limits)
        )
        assert gateway.post(ITEM, {"parts": [{"longText": "x" * 700}]}).status == 201
        refused = gateway.post(ITEM, {"parts": [{"longText": "x" * 1_100}]})
        assert (refused.status, refused.json["detail"]) == (409, "At most 1000.")
        assert (
            gateway.post(f"/items/{new_id()}", {"parts": [{"longText": "x" * 700}]}).status == 413
        )

    def test_nul_in_a_form_is_a_byte_like_others(self, gateway: Gateway) -> None:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        answer = gateway.call("POST", ITEM, content=b'--x "\\u0000"', headers=headers)
        assert answer.json["code"] == "unreadable"

    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            ('{"parts":[{"longText":"a\\u0000b"}]}', 422),
            ('{"parts":[{"longText":"a\\\\\\u0000b"}]}', 422),
            (
                '{"parts":[{"longText":"a\\\\u0000b"}]}',
                201,
            ),  # the text \u0000, which is six characters
        ],
    )
    def test_nul_character_is_refused_and_the_words_for_it_are_not(
        self, gateway: Gateway, sent: str, status: int
    ) -> None:
        assert gateway.post(ITEM, text=sent).status == status

    def test_nul_character_in_the_address_is_refused(self, gateway: Gateway) -> None:
        assert gateway.get("/items", query={"limit": "\0"}).status == 422
        assert gateway.get("/items/fails/%00").status == 422


class TestTime:
    @pytest.mark.parametrize(
        ("sent", "answered"),
        [
            ("2026-01-15T10:30:00", "2026-01-15T10:30:00.000Z"),
            ("2026-01-15T10:30:00Z", "2026-01-15T10:30:00.000Z"),
            ("2026-01-15T10:30:00.123456+02:00", "2026-01-15T08:30:00.123Z"),
            ("2026-01-15", "2026-01-15T00:00:00.000Z"),
            ("0196-01-04T03:09:09-12:38", "0196-01-04T15:47:09.000Z"),
        ],
    )
    def test_is_read_as_utc_and_written_in_milliseconds(
        self, gateway: Gateway, sent: str, answered: str
    ) -> None:
        assert gateway.post(ITEM, {"publishDate": sent}).json["publishDate"] == answered

    def test_stays_a_time_inside(self) -> None:
        item = Item(publish_date=datetime(2026, 1, 15, tzinfo=UTC))
        assert item.model_dump()["publish_date"] == datetime(2026, 1, 15, tzinfo=UTC)


class TestHeaders:
    def test_request_id_is_taken_over_or_given(self, gateway: Gateway) -> None:
        assert gateway.get("/items").headers["x-request-id"] == "request-from-gateway"
        given = gateway.get("/items", headers={"x-request-id": "from-client-1"})
        assert given.headers["x-request-id"] == "from-client-1"
        for forged in ("a b\n{}", "from-client-1\n{}", "from-client-1" * 10):
            answer = gateway.get("/items", headers={"x-request-id": forged})
            assert answer.headers["x-request-id"] == "request-from-gateway"

    def test_request_id_stands_in_the_log(self, gateway: Gateway, log_lines: io.StringIO) -> None:
        gateway.get("/items/fails/unforeseen", headers={"x-request-id": "from-client-2"})
        [line] = log_lines.getvalue().splitlines()
        assert json.loads(line)["correlation_id"] == "from-client-2"

    def test_browsers_are_kept_honest(self, gateway: Gateway) -> None:
        for path in ("/items", "/nowhere", "/items/fails/unforeseen"):
            headers = gateway.get(path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            policy = headers["content-security-policy"].split("; ")
            assert policy == ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"]
            assert headers["referrer-policy"] == "same-origin"

    def test_https_is_insisted_on_where_it_is_used(
        self, app: FastAPI, configure: Configure
    ) -> None:
        assert "strict-transport-security" not in Gateway(app).get("/items").headers
        configure(PUBLIC_URL="https://roost.example")
        secure = make_app("other", routers=[])
        stated = Gateway(secure).get("/").headers["strict-transport-security"]
        assert stated == "max-age=31536000; includeSubDomains"

    def test_only_named_origins_may_call_with_credentials(self, configure: Configure) -> None:
        configure(CORS_ORIGINS="https://app.example")
        gateway = Gateway(make_app("other", routers=[]))
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "auth"}
        allowed = gateway.call("OPTIONS", "/x", headers={"origin": "https://app.example", **asked})
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        assert allowed.headers["access-control-allow-credentials"] == "true"
        refused = gateway.call("OPTIONS", "/x", headers={"origin": "https://evil.example", **asked})
        assert "access-control-allow-origin" not in refused.headers

    @pytest.mark.parametrize("name", ["auth", "idempotency-key", "if-match", "showorg"])
    def test_a_browser_elsewhere_may_send_what_routes_read(
        self, configure: Configure, name: str
    ) -> None:
        configure(CORS_ORIGINS="https://console.example")
        asked = {
            "origin": "https://console.example",
            "access-control-request-method": "PUT",
            "access-control-request-headers": name,
        }
        answer = Gateway(make_app("items", routers=[])).call("OPTIONS", "/items", headers=asked)
        assert (answer.status, name in answer.headers["access-control-allow-headers"]) == (
            200,
            True,
        )


class TestWriting:
    @pytest.fixture
    def refusing(self, committed: Engine) -> Iterator[None]:
        """Make every commit that stored an organization fail, as a deferred constraint does."""
        with committed.begin() as connection:
            connection.execute(
                text(
                    "create function refuse() returns trigger language plpgsql as "
                    "$$ begin raise exception 'refused at commit' using errcode = '23514'; end $$"
                )
            )
            connection.execute(
                text(
                    "create constraint trigger refuse after insert on organizations "
                    "deferrable initially deferred for each row execute function refuse()"
                )
            )
        yield
        with committed.begin() as connection:
            connection.execute(text("drop function refuse() cascade"))

    def test_commit_that_fails_does_not_answer_201(self, refusing: None, gateway: Gateway) -> None:
        assert gateway.post("/items").status == 500
        assert gateway.get("/items/count").json == 0

    def test_what_was_written_is_there_when_the_answer_is(
        self, committed: Engine, gateway: Gateway
    ) -> None:
        assert gateway.post("/items").status == 201
        assert gateway.get("/items/count").json == 1

    @pytest.mark.parametrize(
        ("clashes", "status", "stored"), [(0, 201, 1), (1, 201, 1), (2, 503, 0)]
    )
    def test_that_clashed_is_done_once_more(
        self,
        committed: Engine,
        gateway: Gateway,
        configure: Configure,
        clashes: int,
        status: int,
        stored: int,
    ) -> None:
        """Finding 1.17: a deadlock was answered with 503; the request is repeated, on the one connection there is."""
        dispose()
        configure(DATABASE_POOL_SIZE=1)
        with engine().begin() as connection:
            connection.execute(text("create sequence tries"))
            connection.execute(
                text(
                    "create function clash() returns trigger language plpgsql as $$ begin "
                    f"if nextval('tries') <= {clashes} then raise sqlstate '40P01'; end if; "
                    "return new; end $$"
                )
            )
            connection.execute(
                text(
                    "create trigger clash before insert on organizations "
                    "for each row execute function clash()"
                )
            )
        try:
            answer = gateway.post("/items")
            assert (answer.status, gateway.get("/items/count").json) == (status, stored)
            if status == 503:
                assert answer.json["code"] == "clashed"
        finally:
            with engine().begin() as connection:
                connection.execute(text("drop function clash() cascade"))
                connection.execute(text("drop sequence tries"))
            dispose()

    def test_one_connection_is_enough(
        self, committed: Engine, gateway: Gateway, configure: Configure
    ) -> None:
        """Production has a pool of one: what counts the call must give it back before the writing begins."""
        dispose()
        configure(DATABASE_POOL_SIZE=1)
        with count_statements() as cost:
            assert gateway.post("/items").status == 201
        assert cost.statements == 2
        dispose()


class TestDocument:
    def test_every_operation_names_what_it_refuses(self, app: FastAPI) -> None:
        operation = app.openapi()["paths"]["/items/{item_id}"]["post"]
        assert operation["operationId"] == "makeItem"
        assert operation["summary"] == "Make an item"
        assert operation["description"] == "It is not kept."
        assert set(operation["responses"]) >= {"201", "400", "404", "409", "413", "422", "500"}
        assert operation["security"] == []

    def test_protected_operation_says_how_to_prove_who_one_is(self, app: FastAPI) -> None:
        operation = app.openapi()["paths"]["/items/mine"]["get"]
        assert operation["security"] == [{"session": []}, {"sessionHeader": []}]
        assert set(operation["responses"]) >= {"401", "403"}


class TestDepth:
    def test_a_bottomless_body_is_refused_at_the_door(self, gateway: Gateway) -> None:
        """Finding 2.4: settings nested 900 deep."""
        for depth, status in ((40, 400), (900, 400), (100_000, 400), (20, 422)):
            answer = gateway.post(ITEM, text='{"x":' * depth + "1" + "}" * depth)
            assert answer.status == status, depth
        answer = gateway.post(ITEM, text="[" * 40 + "]" * 40)
        assert answer.json["errors"][0]["code"] == "too_deep"
