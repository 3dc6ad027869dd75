"""Paths in every spelling that clients send: answered where they lead, or told where to go."""

import pytest
from sqlalchemy.orm import Session

from functions.apps.app import app as apps
from functions.identity.app import app as auth
from functions.mcp.app import app as mcp
from functions.posts.app import app as posts
from functions.public_api.app import app as public_api
from functions.root.app import app as root
from shared.organizations.models import Member
from shared.web.paths import Paths, Place, another_spelling, answers_head
from tests.builders import a_member, an_organization
from tests.conftest import Configure
from tests.gateway import Gateway, as_member, by_key

PUBLIC = Paths(["/public/v1/posts", "/public/v1/posts/{post_id}", "/"], below_api=True)
PLAIN = Paths(["/posts", "/mcp/{api_key}"], below_api=False)


@pytest.fixture
def member(session: Session, aws: None) -> Member:
    return a_member(session, an_organization(session))


@pytest.mark.parametrize(
    ("paths", "path", "place"),
    [
        (PUBLIC, "/public/v1/posts", Place("/public/v1/posts")),
        (PUBLIC, "/public/v1/posts/", Place("/public/v1/posts")),
        (PUBLIC, "//public//v1///posts//", Place("/public/v1/posts")),
        (PUBLIC, "/Public/V1/Posts", Place("/public/v1/posts")),
        (PUBLIC, "/PUBLIC/v1/posts/AbC", Place("/public/v1/posts/AbC")),
        (PUBLIC, "/api/public/v1/posts", Place("/public/v1/posts", "/api")),
        (PUBLIC, "//API//public/v1/posts/", Place("/public/v1/posts", "/api")),
        (PUBLIC, "/apiary/posts", Place("/apiary/posts")),
        (PUBLIC, "/api", Place("/", "/api")),
        (PUBLIC, "/", Place("/")),
        (PUBLIC, "/No/Such", Place("/No/Such")),
        (PUBLIC, "/.well-known/x/api", Place("/.well-known/x", "/api")),
        (PUBLIC, "/.well-known/x/api/mcp", Place("/.well-known/x/mcp", "/api")),
        (PLAIN, "/api/posts", Place("/api/posts")),
        (PLAIN, "/MCP/Roost_KeyInCapitals", Place("/mcp/Roost_KeyInCapitals")),
    ],
)
def test_spellings(paths: Paths, path: str, place: Place) -> None:
    """Finding 5.4: slashes and letters of the fixed parts do not matter, those of ids and keys do."""
    assert paths.read(path) == place


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/posts", None),
        ("/Posts", "/posts"),
        ("//oauth/token/", "/oauth/token"),
        ("/API/mcp/Key", "/api/mcp/Key"),
        ("/api/docs", "/docs"),
        ("/nowhere", None),
        ("/Nowhere/", None),
        ("//evil.example/posts", None),
    ],
)
def test_of_other_functions(path: str, leads_to: str | None) -> None:
    assert another_spelling(path) == leads_to


class TestAnswered:
    SPELLINGS = (
        "/public/v1/is-connected", "/public/v1/is-connected/", "//public/v1//is-connected", "/Public/V1/is-connected",
        "/api/public/v1/is-connected", "/API/public/v1/is-connected/",
    )  # fmt: skip

    @pytest.mark.parametrize("path", SPELLINGS)
    def test_the_public_api(self, session: Session, member: Member, path: str) -> None:
        answer = by_key(public_api, session, member).get(path)
        assert (answer.status, answer.json) == (200, {"connected": True})

    @pytest.mark.parametrize("path", ["/posts/", "//posts", "/Posts"])
    def test_other_functions(self, session: Session, member: Member, path: str) -> None:
        query = {"startDate": "2026-01-01", "endDate": "2026-01-02"}
        assert as_member(posts, session, member).get(path, query=query).status == 200

    @pytest.mark.parametrize("path", ["/mcp", "/api/mcp", "/mcp/", "//api//MCP"])
    def test_tools(self, session: Session, member: Member, path: str) -> None:
        """Finding 5.1: tools below `/api`, by header and by address."""
        program = by_key(mcp, session, member)
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert program.post(path, message).json["result"]["tools"]
        key = program.headers["authorization"]
        by_address = Gateway(mcp).post(f"{path}/{key}", message)
        assert by_address.json["result"]["tools"]

    def test_what_the_gateway_does_not_know_leads_on(self) -> None:
        """Finding 5.4: the gateway compares letter by letter; what it sends to its default route is not lost."""
        gateway = Gateway(public_api)
        answer = gateway.post("/OAuth/Token/", {}, query={"a": "1"})
        assert (answer.status, answer.headers["location"]) == (308, "/oauth/token?a=1")
        answer = gateway.get("/wp-login.php")
        assert answer.status == 404
        assert answer.json["message"] == "Not Found"


class TestHead:
    @pytest.mark.parametrize(
        ("app", "path"), [(root, "/health"), (root, "/openapi.json"), (auth, "/auth/can-register")]
    )
    def test_is_answered_as_get_without_a_body(self, app: object, path: str) -> None:
        """Finding 5.4: uptime monitors ask by `HEAD`."""
        gateway = Gateway(app)
        asked, head = gateway.get(path), gateway.call("HEAD", path)
        assert (head.status, head.text) == (asked.status, "")
        assert head.headers["content-type"] == asked.headers["content-type"]

    def test_of_the_public_api(self, session: Session, member: Member) -> None:
        program = by_key(public_api, session, member)
        assert program.call("HEAD", "/public/v1/is-connected").status == 200
        assert program.call("HEAD", "/public/v1/posts").status == 400
        assert Gateway(public_api).call("HEAD", "/public/v1/is-connected").status == 401

    def test_not_where_a_get_begins_something(self, session: Session, member: Member) -> None:
        program = by_key(public_api, session, member)
        assert program.call("HEAD", "/public/v1/social/x").status == 405
        assert not answers_head("/app/integrations/social/x")

    def test_not_of_what_has_no_get(self, session: Session, member: Member) -> None:
        assert by_key(public_api, session, member).call("HEAD", "/public/v1/upload").status == 405


class TestMetadata:
    """Finding 5.1: documents name addresses below the base by which they were asked for."""

    @pytest.mark.parametrize("base", ["", "/api"])
    def test_a_client_finds_its_way(
        self, session: Session, aws: None, configure: Configure, base: str
    ) -> None:
        configure(PUBLIC_URL="https://roost.example")
        refused = Gateway(mcp).post(f"{base}/mcp", {"jsonrpc": "2.0", "id": 1, "method": "x"})
        assert refused.status == 401
        named = f"https://roost.example{base}/.well-known/oauth-protected-resource/mcp"
        assert refused.headers["www-authenticate"] == f'Bearer resource_metadata="{named}"'
        server = Gateway(apps)
        resource = server.get(named.removeprefix("https://roost.example")).json
        assert resource["resource"] == f"https://roost.example{base}/mcp"
        issuer = f"https://roost.example{base}"
        assert resource["authorization_servers"] == [issuer]
        for path in {
            f"{base}/.well-known/oauth-authorization-server",
            f"/.well-known/oauth-authorization-server{base}",
        }:
            told = server.get(path).json
            assert told["issuer"] == issuer
            assert told["token_endpoint"] == f"{issuer}/oauth/token"
        inserted = f"/.well-known/oauth-protected-resource{base}/mcp"
        assert server.get(inserted).json == resource

    def test_the_base_is_that_of_each_request(
        self, session: Session, aws: None, configure: Configure
    ) -> None:
        configure(PUBLIC_URL="https://roost.example")
        server, path = Gateway(apps), "/.well-known/oauth-authorization-server"
        issuers = [server.get(one).json["issuer"] for one in (path, f"/api{path}", path)]
        assert issuers == [f"https://roost.example{base}" for base in ("", "/api", "")]
