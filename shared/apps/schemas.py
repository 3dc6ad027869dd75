"""Request and response schemas of third-party apps: camelCase for members, otherwise as the protocol defines."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from shared.apps.redirects import why_refused
from shared.core.ids import AppId, GrantId, OrganizationId, UserId
from shared.core.wire import RequestModel, VisibleName, WireModel, WireTime

_LONGEST_PARAMETER = 4_000


class ProtocolModel(BaseModel):
    """An answer with the protocol's field names."""


class ProtocolRequest(ProtocolModel):
    """A body with the protocol's field names. Unknown fields are ignored, as the protocol requires."""

    model_config = ConfigDict(str_max_length=_LONGEST_PARAMETER)


def _may_be_sent_to(uri: str) -> str:
    if why := why_refused(uri):
        raise PydanticCustomError("invalid_redirect_uri", "{why}", {"why": why})
    return uri


def _is_web_address(url: str) -> str:
    if not url.startswith("https://") or why_refused(url):
        raise PydanticCustomError(
            "invalid_url", "This is not an https address. Enter one that begins with https://."
        )
    return url


RedirectUri = Annotated[str, AfterValidator(_may_be_sent_to)]
AuthMethod = Literal["none", "client_secret_post", "client_secret_basic"]
WebAddress = Annotated[str, AfterValidator(_is_web_address)]


class AppIn(RequestModel):
    """The description of an organization's app."""

    name: VisibleName = Field(min_length=1, max_length=100, examples=["Newsroom"])
    description: str = Field(default="", max_length=1_000)
    picture: WebAddress | None = Field(default=None, examples=["https://newsroom.example/logo.png"])
    redirect_url: RedirectUri = Field(
        description="The redirect address: https, or http on a loopback address.",
        examples=["https://newsroom.example/connected"],
    )


class AppChange(RequestModel):
    """A change; omitted fields stay unchanged. `picture` null removes it."""

    name: VisibleName | None = Field(default=None, min_length=1, max_length=100)
    description: str | None = Field(default=None, max_length=1_000)
    picture: WebAddress | None = None
    redirect_url: RedirectUri | None = None


class AppShown(WireModel):
    """An app as shown to a member for consent."""

    name: str
    description: str
    picture: str | None
    client_id: str = Field(examples=["pca_" + "k" * 32])
    redirect_url: str


class AppOut(AppShown):
    id: AppId
    created_at: WireTime


class AppMade(AppOut):
    """`clientSecret` is shown this once."""

    client_secret: str = Field(examples=["pcs_" + "s" * 48])


class AppSecret(WireModel):
    """`clientSecret` is shown this once."""

    client_id: str
    client_secret: str


class AppDeleted(WireModel):
    id: AppId


class Maker(WireModel):
    """The organization that created an app. It is not verified."""

    name: str
    since: WireTime = Field(description="When the organization was created.")


class Asked(WireModel):
    """An app's request."""

    app: AppShown
    made_at: WireTime
    made_by: Maker | None = Field(description="Null: the app registered itself.")
    state: str | None
    scope: str = Field(examples=["mcp:read mcp:write"])


class AskedFor(ProtocolRequest):
    """The parameters of an authorization request."""

    client_id: str = ""
    state: str | None = None
    redirect_uri: str | None = None
    code_challenge: str | None = None
    code_challenge_method: str | None = None
    scope: str | None = None
    response_type: str | None = None
    issuer: str = Field(
        default="",
        description="The server's `issuer` in the document that the app read; it is returned as `iss`.",
    )


class Decision(AskedFor):
    """A member's decision, with the app's request."""

    action: Literal["approve", "deny"]


class Redirect(WireModel):
    """The address that the browser must open."""

    redirect: str


class TokenRequest(ProtocolRequest):
    grant_type: str | None = Field(default=None, examples=["authorization_code"])
    code: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    code_verifier: str | None = None
    redirect_uri: str | None = None
    refresh_token: str | None = None
    scope: str | None = None


class Revocation(ProtocolModel):
    """The token to revoke (RFC 7009 section 2.1)."""

    token: str = Field(min_length=1, description="An access token or a refresh token.")
    token_type_hint: str | None = None
    client_id: str | None = None
    client_secret: str | None = None


class Revoked(ProtocolModel):
    """An empty answer: the token is no longer valid, or never was."""


class Token(ProtocolModel):
    """A token. `id` is the organization's; `cus` is null if there is no payment.

    Only an app that registered for `refresh_token` gets `expires_in` and `refresh_token`; its access token expires after an
    hour. The token of any other app ends if it is not used for 90 days.
    """

    id: OrganizationId
    cus: str | None
    access_token: str = Field(examples=["pos_" + "t" * 40])
    token_type: Literal["bearer"]
    scope: str = Field(examples=["mcp:read mcp:write"])
    expires_in: int | None = Field(default=None, description="In seconds.")
    refresh_token: str | None = Field(default=None, examples=["por_" + "r" * 72])


class ClientMetadata(ProtocolRequest):
    """The metadata of an app that registers itself (RFC 7591 section 2)."""

    redirect_uris: list[RedirectUri] = Field(
        min_length=1, max_length=20, examples=[["http://127.0.0.1:8976/callback"]]
    )
    client_name: VisibleName = Field(
        default="A program without a name", min_length=1, max_length=100
    )
    logo_uri: WebAddress | None = None
    token_endpoint_auth_method: AuthMethod = "client_secret_post"  # noqa: S105  a method's name
    grant_types: list[str] = ["authorization_code"]
    response_types: list[str] = ["code"]
    scope: str | None = None


class RegisteredProgram(ProtocolModel):
    """A registered app. A public one has no secret."""

    client_id: str = Field(examples=["pcd_" + "k" * 32])
    client_secret: str | None = None
    client_secret_expires_at: int | None = None
    client_id_issued_at: int
    client_name: str
    logo_uri: str | None = None
    redirect_uris: list[str]
    token_endpoint_auth_method: Literal["none", "client_secret_post"]
    grant_types: list[str]
    response_types: list[str]
    scope: str


class UserInfo(ProtocolModel):
    """The user who consented."""

    sub: UserId
    email: str
    email_verified: bool
    name: str
    picture: str | None
    organization_id: OrganizationId
    organization_name: str


class GrantApp(WireModel):
    name: str
    description: str
    picture: str | None
    client_id: str


class GrantUser(WireModel):
    id: UserId
    name: str
    email: str


class GrantOut(WireModel):
    """A member's consent to an app."""

    id: GrantId
    app: GrantApp
    user: GrantUser
    device: str | None = Field(
        description="The user code of a device: each computer has its own grant.",
        examples=["WDJB-MJHT"],
    )
    scopes: list[str] = Field(examples=[["mcp:read", "mcp:write"]])
    granted_at: WireTime
    last_used_at: WireTime | None = Field(description="To the minute.")


class GrantList(WireModel):
    grants: list[GrantOut]


class GrantRevoked(WireModel):
    id: GrantId


class DeviceStarted(ProtocolModel):
    """The codes that a device shows, and how it polls."""

    device_code: str
    user_code: str = Field(examples=["WDJB-MJHT"])
    verification_uri: str
    verification_uri_complete: str
    expires_in: int = Field(description="In seconds.")
    interval: int = Field(description="Seconds between two polls.")


class DeviceRequest(ProtocolRequest):
    device_code: str = Field(min_length=1)


class DeviceDecision(RequestModel):
    code: str = Field(max_length=50, examples=["WDJB-MJHT"])
    approve: bool


class DeviceSettled(WireModel):
    approved: bool


class DeviceToken(ProtocolModel):
    """A token, the address of its API, and the organization for which it acts."""

    access_token: str = Field(examples=["pos_" + "t" * 40])
    token_type: Literal["bearer"]
    scope: str
    api_url: str
    organization_id: OrganizationId


class ServerMetadata(ProtocolModel):
    """RFC 8414 section 2."""

    issuer: str
    authorization_endpoint: str
    authorization_response_iss_parameter_supported: bool
    token_endpoint: str
    revocation_endpoint: str
    revocation_endpoint_auth_methods_supported: list[str]
    registration_endpoint: str
    userinfo_endpoint: str
    service_documentation: str
    response_types_supported: list[str]
    response_modes_supported: list[str]
    grant_types_supported: list[str]
    code_challenge_methods_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    scopes_supported: list[str]


class ResourceMetadata(ProtocolModel):
    """RFC 9728 section 2."""

    resource: str
    authorization_servers: list[str]
    scopes_supported: list[str]
    bearer_methods_supported: list[str]
    resource_name: str
    resource_documentation: str
