"""Request and response schemas of accounts."""

from typing import Annotated, Literal

from pydantic import AfterValidator, EmailStr, Field

from shared.core.ids import SessionId, UserId
from shared.core.wire import (
    RequestModel,
    TimezoneName,
    VisibleName,
    WebAddress,
    WireModel,
    WireTime,
)


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
# Other logins are further members of `shared.identity.models.LoginProvider`; this is the only one offered yet.
Provider = Literal["LOCAL"]
NewPassword = Annotated[str, Field(min_length=8, max_length=64, examples=["correct horse battery"])]
AnyPassword = Annotated[str, Field(min_length=1, max_length=200)]
Code = Annotated[str, Field(min_length=1, max_length=200)]


class CanRegister(WireModel):
    register_: bool = Field(alias="register")


class Registration(RequestModel):
    provider: Provider = "LOCAL"
    email: NewEmail
    password: NewPassword
    company: VisibleName = Field(min_length=3, max_length=128, examples=["Analytical Engines"])
    timezone: TimezoneName = "UTC"


class Registered(WireModel):
    """Exactly one of the two is present: signed in, or waiting for the emailed link."""

    register_: bool | None = Field(default=None, alias="register")
    activate: bool | None = None


class Login(RequestModel):
    provider: Provider = "LOCAL"
    email: Email
    password: AnyPassword


class LoggedIn(WireModel):
    login: bool = True


class Renewed(WireModel):
    renewed: bool = True


class Activation(RequestModel):
    code: Code


class Activated(WireModel):
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
    password: AnyPassword


class IdentityConfirmed(WireModel):
    confirmed: bool = True
