"""Request and response schemas of accounts."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, EmailStr, Field

from shared.core.ids import (
    ApiKeyId,
    DeviceId,
    FactorId,
    GrantId,
    LoginId,
    OrganizationId,
    SessionId,
    UserId,
)
from shared.core.wire import (
    RequestModel,
    TimezoneName,
    VisibleName,
    WebAddress,
    WireModel,
    WireTime,
)
from shared.identity.models import FactorKind
from shared.identity.password_rules import LONGEST, SHORTEST


def _lower(value: str) -> str:
    return value.lower()


def _deliverable(value: str) -> str:
    if not value.rpartition("@")[0].isascii():
        raise ValueError(
            "Email can only be sent to addresses with plain letters before the @. Use another "
            "address."
        )
    return value


Email = Annotated[EmailStr, AfterValidator(_lower), Field(examples=["ada@example.com"])]
# An email to other letters before the @ needs SMTPUTF8 (RFC 6531), which SES and many servers lack.
NewEmail = Annotated[Email, AfterValidator(_deliverable)]
Provider = Literal["LOCAL"]
ExternalProvider = Literal["GITHUB", "GOOGLE", "FARCASTER", "WALLET", "GENERIC"]
AnyProvider = Literal["LOCAL", "GITHUB", "GOOGLE", "FARCASTER", "WALLET", "GENERIC"]
NewPassword = Annotated[
    str, Field(min_length=SHORTEST, max_length=LONGEST, examples=["correct horse battery"])
]
AnyPassword = Annotated[str, Field(min_length=1, max_length=LONGEST)]
Code = Annotated[str, Field(min_length=1, max_length=200)]


class CanRegister(WireModel):
    register_: bool = Field(alias="register")


class Registration(RequestModel):
    """With `LOCAL`, the address and the password are needed; with another provider, its token of `exists`."""

    provider: AnyProvider = "LOCAL"
    email: NewEmail | None = None
    password: NewPassword | None = None
    provider_token: Code | None = None
    company: VisibleName | None = Field(
        default=None,
        min_length=3,
        max_length=128,
        description="The new organization's name. Required without `org`, and not used with it.",
        examples=["Analytical Engines"],
    )
    timezone: TimezoneName = "UTC"
    org: Code | None = Field(
        default=None,
        description="The token of an invitation's link: the account joins that organization and has none of its own.",
    )


class FactorFields(WireModel):
    """With `mfa`, the person has a second factor: finish by one of the methods at `POST /auth/mfa`, in this browser."""

    mfa: bool | None = None
    methods: list[str] | None = Field(default=None, examples=[["recovery_code", "totp"]])


class Registered(FactorFields):
    """Exactly one of them is present: signed in, waiting for the emailed link, or for a second factor."""

    register_: bool | None = Field(default=None, alias="register")
    activate: bool | None = None


class Login(RequestModel):
    provider: Provider = "LOCAL"
    email: Email
    password: AnyPassword


class LoggedIn(FactorFields):
    """`login` or `mfa` is present. `linked`: the login that waited in this browser for its owner was added to the account."""

    login: bool | None = None
    linked: bool | None = None


RecoveryCode = Annotated[str, Field(min_length=1, max_length=40, examples=["7K3M-Q0ZD-9XPA-2T5H"])]
AppCode = Annotated[
    str,
    Field(
        pattern=r"^\d{6}$", description="Six digits, as the app shows them.", examples=["123456"]
    ),
]


PasskeyAnswer = Annotated[
    dict[str, Any],
    Field(
        max_length=20,
        description="What the browser returned, as `PublicKeyCredential.toJSON()` writes it.",
        examples=[
            {"id": "eiyG2faI2xi8", "rawId": "eiyG2faI2xi8", "type": "public-key", "response": {}}
        ],
    ),
]


class PasskeyOptions(WireModel):
    """What `PublicKeyCredential.parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON` takes."""

    options: dict[str, Any] = Field(
        examples=[{"challenge": "wvhbvWMV5Jsl", "rpId": "roost.example.com"}]
    )


class PasskeyFinish(RequestModel):
    passkey: PasskeyAnswer
    name: VisibleName = Field(
        default="Passkey", min_length=1, max_length=100, examples=["Ada's laptop"]
    )


class PasskeyLogin(RequestModel):
    passkey: PasskeyAnswer


class SecondFactor(RequestModel):
    """Exactly one of the codes, or a passkey. `remember`: sign-ins from this browser need no second factor for 30 days."""

    code: AppCode | None = None
    recovery_code: RecoveryCode | None = None
    passkey: PasskeyAnswer | None = None
    remember: bool = False


class FactorOut(WireModel):
    id: FactorId
    kind: FactorKind
    name: str
    confirmed_at: WireTime
    last_used_at: WireTime | None


class FactorList(WireModel):
    factors: list[FactorOut]
    recovery_codes: int = Field(description="How many recovery codes are left.")


class FactorStart(RequestModel):
    name: VisibleName = Field(
        default="Authenticator app", min_length=1, max_length=100, examples=["Ada's phone"]
    )


class FactorStarted(WireModel):
    """Only this answer contains the secret: as text, as the address that apps read, and as a QR code of it (SVG)."""

    id: FactorId
    secret: str = Field(examples=["JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"])
    address: str = Field(
        examples=["otpauth://totp/Roost:ada%40example.com?secret=...&issuer=Roost"]
    )
    picture: str = Field(examples=["<svg>...</svg>"])


class FactorFinish(RequestModel):
    code: AppCode


class FactorFinished(WireModel):
    """`recoveryCodes` come with the first factor. Only this answer shows them."""

    id: FactorId
    recovery_codes: list[str] = Field(examples=[["7K3M-Q0ZD-9XPA-2T5H"]])
    ended: int = Field(description="How many other sessions have ended.")


class FactorRemoved(WireModel):
    id: FactorId
    left: int = Field(description="How many second factors are left.")
    ended: int = Field(description="How many other sessions have ended.")


class RecoveryCodes(WireModel):
    """Only this answer shows them. The old ones no longer work."""

    recovery_codes: list[str] = Field(examples=[["7K3M-Q0ZD-9XPA-2T5H"]])


class RecoveryStart(RequestModel):
    """The code of the emailed link, and the account's password."""

    code: Code
    password: AnyPassword


class RecoveryStarted(WireModel):
    """Until `opensAt`, the recovery can be stopped; then the second factors are removed."""

    started: bool = True
    opens_at: WireTime


class RecoveryStopped(WireModel):
    stopped: bool = True


class DeviceOut(WireModel):
    id: DeviceId
    device: str = Field(examples=["Firefox on Windows"])
    first_used_at: WireTime
    last_used_at: WireTime
    remembered_until: WireTime
    current: bool


class DeviceList(WireModel):
    """The browsers from which signing in needs no second factor."""

    devices: list[DeviceOut]


class DeviceForgotten(WireModel):
    id: DeviceId


class OfferedLogin(WireModel):
    provider: str = Field(examples=["GITHUB"])
    name: str = Field(examples=["GitHub"])
    logo: str | None


class LoginAnswer(RequestModel):
    """What the provider sent back to the browser."""

    code: str = Field(default="", max_length=20_000)
    state: Code | None = Field(
        default=None, description="Left out, the one in the browser's cookie is meant."
    )
    iss: str | None = Field(default=None, max_length=2_000)
    error: str | None = Field(default=None, max_length=2_000)
    redirect_uri: str | None = Field(default=None, max_length=2_000)


class LoginFinished(FactorFields):
    """Exactly one of `login`, `mfa`, `token`, `confirm`, `linked` and `confirmed` is present.

    `token` finishes a registration at `POST /auth/register`; `email` is the address that the provider vouches for. `confirm` lists
    the methods by which the account of this address must be signed in to in this browser, for the login to be added.
    """

    login: bool | None = None
    token: str | None = None
    email: str | None = None
    name: str | None = None
    confirm: list[str] | None = Field(default=None, examples=[["password"]])
    linked: bool | None = None
    confirmed: bool | None = None


class LoginOut(WireModel):
    """`email` is what the provider named when the login was added; it identifies nobody."""

    id: LoginId
    provider: str = Field(examples=["GITHUB"])
    email: str | None
    created_at: WireTime
    last_used_at: WireTime | None


class LoginList(WireModel):
    password: bool = Field(description="Whether the account has a password.")
    logins: list[LoginOut]


class PasswordChange(RequestModel):
    """`current` is not needed for an account without a password. `endPrograms` also ends API keys, consents and device logins."""

    current: AnyPassword = ""
    password: NewPassword
    end_programs: bool = False


class EndedProgram(WireModel):
    id: ApiKeyId | GrantId
    name: str
    org_id: OrganizationId


class PasswordChanged(WireModel):
    """What has ended: how many other sessions, and which API keys and consents."""

    changed: bool = True
    sessions: int
    keys: list[EndedProgram]
    consents: list[EndedProgram]


class EmailChange(RequestModel):
    email: NewEmail


class EmailChangeRequested(WireModel):
    """`changed` is true only where the server sends no email, so that nothing is left to confirm."""

    success: bool = True
    changed: bool = False


class EmailChanged(WireModel):
    changed: bool = True


class EmailRestored(WireModel):
    """What has ended with the change."""

    restored: bool = True
    sessions: int
    keys: int
    consents: int


class CompanyLoginStart(RequestModel):
    email: str = Field(min_length=3, max_length=320, examples=["ada@example.com"])
    return_to: str | None = Field(
        default=None, max_length=2_000, description="The path on this server to go to."
    )


class LoginStart(RequestModel):
    provider: ExternalProvider
    public_key: str = Field(default="", max_length=200, description="The address of a wallet.")


class LoginStarted(WireModel):
    url: str = Field(description="The address to open; for a wallet, the text to sign.")


class LoginRemoved(WireModel):
    id: LoginId
    ended: int = Field(description="How many other sessions have ended.")


class Renewed(WireModel):
    renewed: bool = True


class Activation(RequestModel):
    code: Code


class Activated(FactorFields):
    can: bool


class MailRequest(RequestModel):
    email: Email


class MailRequested(WireModel):
    success: bool = True


class ForgotAnswer(WireModel):
    """True whether or not there is such an account."""

    forgot: bool = True


class PasswordReset(RequestModel):
    token: Code
    password: NewPassword
    repeat_password: AnyPassword


class PasswordWasReset(WireModel):
    reset: bool = True


class LoggedOut(WireModel):
    logout: bool = True


class PictureOut(WireModel):
    path: str


class Picture(RequestModel):
    path: WebAddress


class PersonalOut(WireModel):
    id: UserId
    email: str
    name: str
    bio: str
    picture: PictureOut | None
    timezone: str


class PersonalIn(RequestModel):
    fullname: VisibleName = Field(min_length=3, max_length=200, examples=["Ada Lovelace"])
    bio: str = Field(default="", max_length=5_000)
    picture: Picture | None = None
    timezone: TimezoneName | None = None


class MailPreferences(WireModel):
    send_success_emails: bool
    send_failure_emails: bool


class SessionOut(WireModel):
    """`device` is read off the user agent; `methods` proved the person's identity at `authenticatedAt`."""

    id: SessionId
    created_at: WireTime
    last_used_at: WireTime
    authenticated_at: WireTime
    methods: list[str] = Field(examples=[["password"]])
    expires_at: WireTime
    ends_at: WireTime = Field(description="When the session ends however often it is renewed.")
    device: str = Field(examples=["Firefox on Windows"])
    ip: str | None
    country: str | None = Field(
        examples=["FR"], description="Null unless CloudFront is in front of the API and tells it."
    )
    user_agent: str | None
    current: bool


class SessionList(WireModel):
    sessions: list[SessionOut]


class SessionsEnded(WireModel):
    ended: int = Field(description="How many sessions have ended.")


class IdentityConfirmation(RequestModel):
    """A password, the provider of one of the account's logins, or a second factor: a code or a passkey."""

    code: AppCode | None = None
    recovery_code: RecoveryCode | None = None
    passkey: PasskeyAnswer | None = None
    password: AnyPassword | None = None
    provider: ExternalProvider | None = None
    public_key: str = Field(default="", max_length=200, description="The address of a wallet.")


class IdentityConfirmed(WireModel):
    """With a provider, the address to open; the identity is confirmed when the browser has come back from there."""

    confirmed: bool | None = None
    url: str | None = None
