"""`/auth/*` and `/user/*`: registration, login, sessions, profiles and API keys."""

import hmac
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from sqlalchemy.orm import Session as DbSession

from shared.access import passwords, recovery, second_factors
from shared.access.actor import actor_of, operator_of, person_of
from shared.access.change_email import confirm_change, request_change, undo_change
from shared.access.change_password import change_password
from shared.access.company_sign_in import begin_company_login, finish_company_login
from shared.access.confirm import (
    confirm_by_code,
    confirm_by_passkey,
    confirm_by_password,
    require_one_factor,
)
from shared.access.context import ActingMember, identify
from shared.access.delete import bring_back, delete_account
from shared.access.endings import Event, end_access
from shared.access.errors import OwnLoginNeeded
from shared.access.invitations import find_invitation, is_for, join
from shared.access.key_rights import check_rotation, check_scopes
from shared.access.policy import Rule, Who
from shared.access.register import activate, can_register, register
from shared.access.register_login import register_with_login
from shared.access.schemas import BroughtBack, DeletedOut, OwnSelf, own_self
from shared.access.sign_in import (
    LINK_LIFE,
    REGISTRATION_LIFE,
    Confirmed,
    FactorAsked,
    KnownAddress,
    Linked,
    Outcome,
    Purpose,
    Returned,
    SignedIn,
    Unknown,
    begin_login,
    finish_login,
    provider_of,
)
from shared.access.team_schemas import ClosedSeat, ClosedSeats, Joined, Joining
from shared.audit.entries import Action
from shared.audit.read import list_own_log
from shared.audit.record import record
from shared.audit.schemas import Log
from shared.channels.limits import limit_to
from shared.core.errors import AppError, FieldProblem, InvalidInput, Unauthenticated
from shared.core.ids import ApiKeyId, ConnectionId, DeviceId, FactorId, LoginId, SessionId, UserId
from shared.core.page import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from shared.identity import devices, passkeys, session_queries, sessions
from shared.identity import queries as identity
from shared.identity.device_queries import LIST_REMEMBERED
from shared.identity.errors import (
    FieldNeeded,
    LoginNotStarted,
    NoSuchSession,
    SecondFactorOver,
    SessionOver,
)
from shared.identity.factor_queries import COUNT_RECOVERY_CODES, LIST_FACTORS
from shared.identity.login_providers.base import ANSWER_LIFE, Answer, callback_url
from shared.identity.login_providers.offered import list_offered
from shared.identity.login_queries import FIND_WAYS, LIST_LOGINS
from shared.identity.logins import link_waiting, remove_login
from shared.identity.mails import AccountMail, request_account_mail
from shared.identity.models import Method
from shared.identity.schemas import (
    Activated,
    Activation,
    CanRegister,
    CompanyLoginStart,
    DeviceForgotten,
    DeviceList,
    DeviceOut,
    EmailChange,
    EmailChanged,
    EmailChangeRequested,
    EmailRestored,
    EndedProgram,
    FactorFinish,
    FactorFinished,
    FactorList,
    FactorOut,
    FactorRemoved,
    FactorStart,
    FactorStarted,
    ForgotAnswer,
    IdentityConfirmation,
    IdentityConfirmed,
    LoggedIn,
    LoggedOut,
    Login,
    LoginAnswer,
    LoginFinished,
    LoginList,
    LoginOut,
    LoginRemoved,
    LoginStart,
    LoginStarted,
    MailPreferences,
    MailRequest,
    MailRequested,
    OfferedLogin,
    PasskeyFinish,
    PasskeyLogin,
    PasskeyOptions,
    PasswordChange,
    PasswordChanged,
    PasswordReset,
    PasswordWasReset,
    PersonalIn,
    PersonalOut,
    PictureOut,
    RecoveryCodes,
    RecoveryStart,
    RecoveryStarted,
    RecoveryStopped,
    Registered,
    Registration,
    Renewed,
    SecondFactor,
    SessionList,
    SessionOut,
    SessionsEnded,
)
from shared.identity.second_factor import (
    TypedCode,
    options_for_second_factor,
    pass_by_passkey,
    pass_second_factor,
    sign_in_by_passkey,
)
from shared.identity.tokens import read_expired_access_token
from shared.identity.unsubscribe import kind_of, unsubscribe
from shared.identity.user_agents import device_name
from shared.organizations import queries as organizations
from shared.organizations.api_keys import (
    change_api_key,
    make_api_key,
    revoke_api_key,
    rotate_api_key,
    rotate_only_api_key,
)
from shared.organizations.impersonation import begin_impersonation, end_impersonations
from shared.organizations.schemas import (
    ApiKeyChange,
    ApiKeyIn,
    ApiKeyList,
    ApiKeyMade,
    ApiKeyOut,
    ApiKeyRevoked,
    ApiKeyRotated,
    ApiKeyRotation,
    Impersonation,
    ImpersonationCandidate,
    ImpersonationCandidates,
    ImpersonationIn,
    Membership,
    OrganizationChoice,
)
from shared.organizations.settings import check_membership, list_organizations
from shared.web import cookies
from shared.web.app import as_handler, make_app
from shared.web.deps import (
    Acting,
    Autocommit,
    OwnProfile,
    Reading,
    Visiting,
    Writing,
    client_address,
    client_country,
    credentials_of,
)
from shared.web.html import (
    activation_page,
    password_page,
    start_page,
    unsubscribe_page,
    unsubscribed_page,
)
from shared.web.login_html import (
    confirm_email_page,
    confirm_page,
    factor_page,
    finished_page,
    login_page,
    login_refused_page,
    recovery_page,
    register_page,
    return_page,
    stop_recovery_page,
    undo_email_page,
)
from shared.web.paths import own_path
from shared.web.routing import Router, refusals
from shared.web.seat_html import (
    invitation_page,
    invited_account_page,
    invited_sign_in_page,
    member_page,
    wrong_guest_page,
)

Mailed = Annotated[
    str,
    Query(
        min_length=1,
        max_length=200,
        description="The end of the emailed link. Open the complete link from the email, or "
        "request another email.",
    ),
]
ReturnTo = Annotated[
    str | None,
    Query(alias="returnTo", max_length=2_000, description="The path on this server to go to."),
]
_MAX_CODE = 20_000


# A link is opened in a browser, which gets html; a program gets problem details.
def _as_pages(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {**refusal, "content": {**refusal["content"], "text/html": {}}}
        for status, refusal in refusals(*statuses).items()
    }


OF_A_LINK = _as_pages(422, 429, 503)

auth = Router(prefix="/auth", tags=["Signing in"])
user = Router(prefix="/user", tags=["User"])
pages = Router(prefix="/app", tags=["User"])
_GUEST = Rule(Who.VIEWER, person=True, personal=True)
"""Who may be asked to join an organization; the answer has a row of the policy."""


@auth.get("/can-register")
def get_can_register(session: Reading) -> CanRegister:
    """Return whether this server accepts new accounts."""
    return CanRegister(register=can_register(session))


@auth.post("/register", response_model_exclude_none=True, responses=refusals(403, 503))
def register_account(
    body: Registration, response: Response, request: Request, session: Writing, actor: Visiting
) -> Registered:
    """Register as the owner of a new organization: with an address and a password, or with a login at a provider.

    With a provider, `providerToken` is the token of `POST /auth/oauth/{provider}/exists`, in the same browser. An address that
    the provider vouches for is proven; another one is proven by the emailed link.

    If the server sends email, the answer is `{"activate": true}`, also if the address has an account, whose owner is told by
    email. A new account waits for the emailed link. If the server sends no email, the account is active and the browser is
    signed in: `{"register": true}`. If the email is refused, the answer is a 503 with the code `activation_not_sent`: the
    registration is stored, and `/auth/resend-activation` sends another link.
    """
    if body.provider == "LOCAL":
        user_id, method = register(session, body, actor=actor), Method.PASSWORD
    else:
        token = cookies.read(request, cookies.LOGIN_STATE)
        user_id = register_with_login(session, body, kept_token=token, actor=actor)
        method = Method(body.provider.lower())
    cookies.clear(response, cookies.LOGIN_STATE)
    if user_id is None:
        response.headers["activate"] = "true"
        return Registered(activate=True)
    evidence = sessions.Evidence({method})
    opened = sessions.open_session(session, user_id, evidence, _browser(request))
    if isinstance(opened, sessions.FactorNeeded):
        return Registered(**_ask_factor(response, opened))
    cookies.set_session(response, opened)
    response.headers["onboarding"] = "true"
    return Registered(register=True)


@auth.get("/activate", response_class=HTMLResponse, responses=OF_A_LINK)
def get_activate_page(code: Mailed) -> HTMLResponse:
    """Show the page where the emailed link activates an account.

    Opening it changes nothing, because mail programs and scanners also open links.
    """
    return activation_page(code)


@auth.post("/activate", response_model_exclude_none=True)
def activate_account(
    body: Activation, response: Response, request: Request, session: Writing, actor: Visiting
) -> Activated:
    """Activate an account with the emailed code, and sign the browser in.

    The account has the password and the organization's name of the registration whose email the code is from.
    """
    user_id = activate(session, body.code, actor=actor)
    evidence = sessions.Evidence({Method.MAIL})
    opened = sessions.open_session(session, user_id, evidence, _browser(request))
    if isinstance(opened, sessions.FactorNeeded):
        return Activated(can=True, **_ask_factor(response, opened))
    cookies.set_session(response, opened)
    return Activated(can=True)


@auth.post("/resend-activation", responses=refusals(503))
def resend_activation(body: MailRequest) -> MailRequested:
    """Email another link that activates an account.

    Its page asks for a password, because the first one may be that of somebody else who registered with this address. The
    answer does not say whether there is such an account.
    """
    request_account_mail(AccountMail.ACTIVATION, body.email)
    return MailRequested()


@auth.get("/login", response_class=HTMLResponse)
def get_login_page(return_to: ReturnTo = None) -> HTMLResponse:
    """Show the sign-in page, with the logins that this server offers."""
    return login_page(list_offered(), own_path(return_to))


@auth.get("/oauth", operation_id="listOauthProviders")
def get_login_providers() -> list[OfferedLogin]:
    """List the logins at other providers that this server offers."""
    return [
        OfferedLogin(provider=one.provider.value.upper(), name=one.name, logo=one.logo_url)
        for one in list_offered()
    ]


@auth.get(
    "/oauth/{provider}",
    response_class=PlainTextResponse,
    operation_id="startOauthLogin",
    responses=refusals(403, 503),
)
def get_login_address(
    provider: str,
    public_key: Annotated[
        str, Query(alias="publicKey", max_length=200, description="The address of a wallet.")
    ] = "",
    return_to: ReturnTo = None,
) -> PlainTextResponse:
    """Start signing in at a provider.

    Returns the address that the browser must open, as text; for a wallet, the text to sign. A cookie binds the login to this
    browser. It can be finished once, within ten minutes.
    """
    started = begin_login(provider_of(provider), account=public_key, return_to=own_path(return_to))
    answer = PlainTextResponse(started.url)
    cookies.set_login_state(answer, started.state, ANSWER_LIFE)
    return answer


@auth.get(
    "/oauth/{provider}/callback",
    response_class=HTMLResponse,
    operation_id="getOauthReturnPage",
    responses=_as_pages(401, 403, 404, 409, 422, 429, 503),
)
def get_login_return_page(provider: str, request: Request) -> Response:
    """Return from a login provider: sign in, or show what is missing, or why not."""
    query = request.query_params
    answer = Answer(
        code=query.get("code", "")[:_MAX_CODE],
        iss=query.get("iss"),
        error=query.get("error"),
    )
    try:
        found = provider_of(provider)
        outcome = finish_login(found, answer, _returned(request, query.get("state", "")))
    except AppError as error:
        return login_refused_page(error)
    page = _page_of(outcome)
    _keep(page, outcome)
    return page


@auth.post(
    "/oauth/{provider}/exists",
    operation_id="finishOauthLogin",
    response_model_exclude_none=True,
    responses=refusals(401, 403, 409, 503),
)
def finish_oauth_login(
    provider: str, body: LoginAnswer, response: Response, request: Request
) -> LoginFinished:
    """Finish signing in at a provider, with what it sent back to the browser that started.

    Answers `login` if the person is signed in, `token` if nobody has this login yet, and `confirm` if an account has its address:
    the login is added when the account's owner signs in by one of these methods, in the same browser, within ten minutes.
    """
    found = provider_of(provider)
    if body.redirect_uri not in {None, callback_url(found)}:
        raise LoginNotStarted
    state = body.state or cookies.read(request, cookies.LOGIN_STATE) or ""
    answer = Answer(code=body.code, iss=body.iss, error=body.error)
    outcome = finish_login(found, answer, _returned(request, state))
    _keep(response, outcome)
    return _finished(outcome)


@auth.post("/company", responses=refusals(404, 503))
def start_company_login(body: CompanyLoginStart, response: Response) -> LoginStarted:
    """Start signing in through the company login that speaks for the domain of an address.

    Returns the address that the browser must open. A cookie binds the login to this browser. It can be finished once, within ten
    minutes.
    """
    started = begin_company_login(body.email, return_to=own_path(body.return_to))
    cookies.set_login_state(response, started.state, ANSWER_LIFE)
    return LoginStarted(url=started.url)


@auth.get(
    "/company/{connection_id}/callback",
    response_class=HTMLResponse,
    operation_id="getCompanyReturnPage",
    responses=_as_pages(401, 403, 404, 409, 422, 429, 503),
)
def get_company_return_page(connection_id: ConnectionId, request: Request) -> Response:
    """Return from a company login: sign in, or show why not. The session is bound to the company's organization."""
    query = request.query_params
    answer = Answer(
        code=query.get("code", "")[:_MAX_CODE], iss=query.get("iss"), error=query.get("error")
    )
    try:
        outcome = finish_company_login(
            connection_id, answer, _returned(request, query.get("state", ""))
        )
    except AppError as error:
        return login_refused_page(error)
    page = _page_of(outcome)
    _keep(page, outcome)
    cookies.forget_organization(page)
    return page


@auth.post("/login", response_model_exclude_none=True, responses=refusals(401, 403, 429))
def login(body: Login, response: Response, request: Request, session: Autocommit) -> LoggedIn:
    """Sign in with an address and a password.

    After some wrong passwords for an address, whether it has an account or not, the answer is 429 until a pause is over. A
    browser that has signed in before has a count of its own.

    Somebody with a second factor is not signed in yet: the answer is `{"mfa": true}` with the methods, unless the browser is
    remembered.
    """
    user_id, opened = sessions.log_in(
        session, email=body.email, password=body.password, browser=_browser(request)
    )
    if isinstance(opened, sessions.FactorNeeded):
        return LoggedIn(**_ask_factor(response, opened))
    return _logged_in(request, response, session, user_id, opened)


@auth.post(
    "/mfa",
    operation_id="passSecondFactor",
    response_model_exclude_none=True,
    responses=refusals(401, 429),
)
def pass_factor(
    body: SecondFactor, response: Response, request: Request, session: Autocommit
) -> LoggedIn:
    """Finish signing in with a second factor: a code of an authenticator app, a recovery code, or a passkey.

    It must be the browser in which the sign-in began. After five wrong codes, or five minutes, the sign-in begins again. Wrong
    codes are counted per person, wherever they are entered; after some, the answer is 429 until a pause is over.
    """
    secret = cookies.read(request, cookies.SECOND_FACTOR)
    typed = None
    if body.passkey is None:
        typed = _typed(body.code, body.recovery_code)
    if not secret:
        raise SecondFactorOver
    browser, remember = _browser(request), body.remember
    if typed is not None:
        user_id, tokens = pass_second_factor(session, secret, typed, browser, remember=remember)
    else:
        credential = body.passkey or {}
        user_id, tokens = pass_by_passkey(session, secret, credential, browser, remember=remember)
    cookies.clear(response, cookies.SECOND_FACTOR)
    return _logged_in(request, response, session, user_id, tokens)


@auth.post("/mfa/options", operation_id="startSecondFactor", responses=refusals(401))
def get_factor_options(request: Request, session: Autocommit) -> PasskeyOptions:
    """Return what the browser needs to prove the second factor with a passkey, once, within five minutes."""
    secret = cookies.read(request, cookies.SECOND_FACTOR)
    if not secret:
        raise SecondFactorOver
    return PasskeyOptions(options=options_for_second_factor(session, secret))


@auth.post("/passkey/options", operation_id="startPasskeyLogin")
def get_passkey_options(response: Response, session: Autocommit) -> PasskeyOptions:
    """Start signing in with a passkey, without an address. A cookie binds it to this browser for five minutes."""
    options, challenge = passkeys.options_to_prove(session, None)
    cookies.set_passkey(response, challenge)
    return PasskeyOptions(options=options)


@auth.post(
    "/passkey",
    operation_id="finishPasskeyLogin",
    response_model_exclude_none=True,
    responses=refusals(401),
)
def log_in_by_passkey(
    body: PasskeyLogin, response: Response, request: Request, session: Autocommit
) -> LoggedIn:
    """Sign in with a passkey. Its owner has unlocked it, so no second factor is asked for."""
    kept = cookies.read(request, cookies.PASSKEY)
    cookies.clear(response, cookies.PASSKEY)
    user_id, tokens = sign_in_by_passkey(session, body.passkey, kept, _browser(request))
    return _logged_in(request, response, session, user_id, tokens)


@auth.post("/renew", responses=refusals(401))
def renew_session(request: Request, response: Response, session: Autocommit) -> Renewed:
    """Exchange the cookie `renew` (`__Host-renew` on https) for a new access token and a new cookie.

    The old cookie works for another 30 seconds, for requests in progress. Using it after that ends the session,
    because it means that somebody has a copy.
    """
    token = cookies.read_renew(request)
    if not token:
        raise SessionOver
    cookies.set_session(response, sessions.renew(session, token, _browser(request)))
    return Renewed()


@auth.post("/forgot", responses=refusals(503))
def forgot_password(body: MailRequest) -> ForgotAnswer:
    """Email a link to set a new password. The answer does not say whether there is such an account."""
    request_account_mail(AccountMail.RESET_PASSWORD, body.email)
    return ForgotAnswer()


@auth.get("/forgot-return", response_class=HTMLResponse, responses=OF_A_LINK)
def get_forgot_return_page(token: Mailed) -> HTMLResponse:
    """Show the page where the emailed link sets a new password."""
    return password_page(token)


@auth.post("/forgot-return")
def reset_password(body: PasswordReset, visitor: Visiting) -> PasswordWasReset:
    """Set a new password with the emailed code.

    Every session of the user ends, and so do the API keys that the user made, the consents and the device logins.
    """
    if not hmac.compare_digest(body.password.encode(), body.repeat_password.encode()):
        problem = FieldProblem(
            "repeatPassword",
            "differs",
            "The passwords do not match. Enter the same password twice.",
        )
        raise InvalidInput(
            "The passwords do not match. Enter the same password twice.", problems=[problem]
        )
    passwords.reset_password(body.token, body.password, by=visitor)
    return PasswordWasReset()


@auth.post("/recovery", operation_id="requestRecovery", responses=refusals(503))
def request_recovery(body: MailRequest) -> MailRequested:
    """Email a link to recover an account whose second factor is lost. The answer does not say whether there is such an account."""
    request_account_mail(AccountMail.RECOVERY, body.email)
    return MailRequested()


@auth.get("/recover", response_class=HTMLResponse, responses=OF_A_LINK)
def get_recovery_page(code: Mailed) -> HTMLResponse:
    """Show the page where the emailed link and the password start a recovery. Opening it changes nothing."""
    return recovery_page(code)


@auth.post("/recover", operation_id="startRecovery", responses=refusals(429))
def start_recovery(body: RecoveryStart, request: Request, visitor: Visiting) -> RecoveryStarted:
    """Start to recover an account whose second factor and recovery codes are lost, with the emailed code and the password.

    The factors are removed after 72 hours. Meanwhile the person is emailed daily, and the owners and admins of their organizations
    see it; each of them can stop it, and so does a sign-in with the factor or the link in the emails.
    """
    browser = _browser(request)
    return RecoveryStarted(
        opens_at=recovery.begin_recovery(body.code, body.password, browser, visitor)
    )


@auth.get("/stop-recovery", response_class=HTMLResponse, responses=OF_A_LINK)
def get_stop_recovery_page(code: Mailed) -> HTMLResponse:
    """Show the page where the emailed link stops a recovery. Opening it changes nothing."""
    return stop_recovery_page(code)


@auth.post("/stop-recovery")
def stop_recovery(body: Activation, session: Writing, visitor: Visiting) -> RecoveryStopped:
    """Stop a recovery with the emailed code. The second factors stay."""
    recovery.stop_by_link(session, body.code, visitor)
    return RecoveryStopped()


@auth.get("/confirm-email", response_class=HTMLResponse, responses=OF_A_LINK)
def get_confirm_email_page(code: Mailed) -> HTMLResponse:
    """Show the page where the emailed link confirms a new address. Opening it changes nothing."""
    return confirm_email_page(code)


@auth.post("/confirm-email")
def confirm_email(body: Activation, visitor: Visiting, session: Writing) -> EmailChanged:
    """Change an account's address with the emailed code.

    The account's other sessions end. The old address is emailed a link that undoes the change for 72 hours.
    """
    confirm_change(session, body.code, by=visitor)
    return EmailChanged()


@auth.get("/undo-email", response_class=HTMLResponse, responses=OF_A_LINK)
def get_undo_email_page(code: Mailed) -> HTMLResponse:
    """Show the page where the emailed link undoes a change of address. Opening it changes nothing."""
    return undo_email_page(code)


@auth.post("/undo-email")
def undo_email(body: Activation, visitor: Visiting, session: Writing) -> EmailRestored:
    """Undo a change of address with the emailed code.

    All sessions, API keys, consents and device logins of the person end, with the logins and second factors that were added since.
    The password is removed; the old address is emailed a link to set another one.
    """
    ended = undo_change(session, body.code, by=visitor)
    return EmailRestored(
        sessions=ended.sessions, keys=len(ended.keys), consents=len(ended.consents)
    )


@auth.get("/return", response_class=HTMLResponse, responses=OF_A_LINK)
def get_return_page(code: Mailed) -> HTMLResponse:
    """Show the page where the emailed link restores a deleted account or organization. Opening it changes nothing."""
    return return_page(code)


@auth.post("/return", operation_id="restoreDeleted")
def bring_back_deleted(body: Activation, session: Writing) -> BroughtBack:
    """Restore a deleted account or organization with the emailed code. It signs nobody in.

    The person's sessions, API keys, consents and device logins stay ended. An organization is as it was; posts that fell due
    meanwhile have failed with `organization_deleted` and can be resent.
    """
    return BroughtBack(restored=bring_back(session, body.code).value)


@user.get("/self")
def get_self(member: Acting, profile: OwnProfile) -> OwnSelf:
    """Return the caller, their organization and their role."""
    return own_self(member, profile)


@user.get("/personal")
def get_personal(member: Acting, profile: OwnProfile) -> PersonalOut:
    """Return the user's profile."""
    return PersonalOut(
        id=member.person_id,
        email=profile.email,
        name=profile.name,
        bio=profile.bio,
        picture=PictureOut(path=profile.picture_url) if profile.picture_url else None,
        timezone=member.timezone,
    )


@user.post("/personal")
def update_personal(body: PersonalIn, member: Acting, session: Writing) -> PersonalOut:
    """Change the user's profile. A time zone that is left out stays unchanged."""
    row = identity.update_personal(
        session,
        member.person_id,
        name=body.fullname,
        bio=body.bio,
        picture_url=body.picture.path if body.picture else None,
        timezone=body.timezone,
    )
    record(session, person_of(member), Action.ACCOUNT_UPDATED, member.person_id)
    return PersonalOut(
        id=row.id,
        email=row.email,
        name=row.name,
        bio=row.bio,
        picture=PictureOut(path=row.picture_url) if row.picture_url else None,
        timezone=row.timezone,
    )


@user.get("/email-notifications")
def get_email_notifications(member: Acting, session: Reading) -> MailPreferences:
    """Return which emails the user wants."""
    row = identity.get_mail_preferences(session, member.person_id)
    return MailPreferences(
        send_success_emails=row.sends_success_mails, send_failure_emails=row.sends_failure_mails
    )


@user.post("/email-notifications")
def update_email_notifications(
    body: MailPreferences, member: Acting, session: Writing
) -> MailPreferences:
    """Choose which emails to get. Emails about the account itself are always sent."""
    identity.set_mail_preferences(
        session,
        member.person_id,
        success=body.send_success_emails,
        failure=body.send_failure_emails,
    )
    record(session, person_of(member), Action.ACCOUNT_MAILS_CHANGED, member.person_id)
    return body


@user.get("/unsubscribe", response_class=HTMLResponse, responses=OF_A_LINK)
def get_unsubscribe_page(token: Mailed) -> HTMLResponse:
    """Show the page where an emailed link turns off one kind of email.

    Opening it changes nothing, because mail programs and scanners also open links.
    """
    return unsubscribe_page(kind_of(token))


@user.post(
    "/unsubscribe", operation_id="unsubscribe", response_class=HTMLResponse, responses=OF_A_LINK
)
def stop_mails(token: Mailed, visitor: Visiting, session: Writing) -> HTMLResponse:
    """Turn off one kind of email for a user, with the link from such an email.

    No sign-in is needed. Mail programs send this for their users, with the body `List-Unsubscribe=One-Click` (RFC 8058);
    the body is not read. The link never expires.
    """
    return unsubscribed_page(unsubscribe(session, token, by=visitor))


@user.get("/organizations", operation_id="listOrganizations")
def get_organizations(member: Acting, session: Reading) -> list[Membership]:
    """List the user's organizations, first joined first. A session that came through a company login sees only its own."""
    found = list_organizations(session, member.person_id)
    if member.proof and member.proof.connection_id:
        return [one for one in found if one.id == member.organization_id]
    return found


@pages.get("", response_class=HTMLResponse, responses=OF_A_LINK)
def get_invitation_page(
    request: Request,
    session: Reading,
    org: Annotated[
        str | None,
        Query(max_length=200, description="The token of an invitation's link."),
    ] = None,
    new: Annotated[bool, Query(description="Whether to register instead of signing in.")] = False,
) -> HTMLResponse:
    """Show the page to which an invitation's link leads: the organization and the role, and a button to join.

    Opening it changes nothing, because mail programs and scanners also open links.
    """
    if org is None:
        return start_page()
    try:
        guest = identify(session, credentials_of(request), _GUEST).member.person_id
    except Unauthenticated:
        guest = None
    found = find_invitation(session, org, guest)
    invitation, name, role = found.row, found.row.organization_name, found.rights.role
    if invitation.guest_email is None:
        if new:
            return invited_account_page(org, name)
        return invited_sign_in_page(org, invitation.giver_name, name, role)
    if invitation.is_member:
        return member_page(name)
    if not is_for(invitation):
        return wrong_guest_page(name, invitation.guest_email)
    return invitation_page(org, name, role, invitation.guest_email)


@user.post("/join-org")
def join_organization(body: Joining, member: Acting, session: Writing) -> Joined:
    """Join an organization by the token of an invitation's link.

    It gives what the member who invited may give now. `POST /user/change-org` selects the organization.
    """
    actor = person_of(member)
    return Joined(id=join(session, member.person_id, body.org, actor=actor))


@user.post("/change-org")
def change_organization(
    body: OrganizationChoice, response: Response, member: Acting, session: Reading
) -> OrganizationChoice:
    """Select the organization for later requests with the cookie `showorg`."""
    check_membership(session, body.id, member.person_id)
    if member.proof and member.proof.connection_id and body.id != member.organization_id:
        raise OwnLoginNeeded
    cookies.choose_organization(response, body.id)
    return body


@user.post("/logout")
def logout(
    request: Request, response: Response, visitor: Visiting, session: Autocommit
) -> LoggedOut:
    """End the session, if there is one, and clear the cookies."""
    claims = read_expired_access_token(credentials_of(request).access_token or "")
    if claims:
        by = visitor.as_user(claims.user_id, claims.session_id)
        sessions.end_session(session, by, claims.user_id, claims.session_id)
    cookies.clear_session(response)
    response.headers["logout"] = "true"
    # Not "cookies": that of a known device stays.
    response.headers["clear-site-data"] = '"cache", "storage"'
    return LoggedOut()


@user.get("/audit", operation_id="listOwnAuditLog")
def get_own_audit_log(
    member: Acting,
    session: Reading,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = DEFAULT_PAGE_SIZE,
) -> Log:
    """List what was done to the user's account, newest first: sign-ins, changes, and what others did to it."""
    return list_own_log(session, member.person_id, cursor=cursor, limit=limit)


@user.get("/sessions")
def list_sessions(member: Acting, session: Reading) -> SessionList:
    """List the user's sessions, last used first."""
    return SessionList(
        sessions=[
            SessionOut(
                **row._asdict(),
                device=device_name(row.user_agent),
                current=row.id == member.session_id,
            )
            for row in session_queries.list_sessions(session, member.person_id)
        ]
    )


@user.delete("/sessions")
def delete_other_sessions(member: Acting, session: Writing) -> SessionsEnded:
    """End all of the user's sessions except this one."""
    by = person_of(member)
    ended = sessions.end_other_sessions(session, by, member.person_id, member.session_id)
    return SessionsEnded(ended=ended)


@user.delete("/sessions/{session_id}")
def delete_session(session_id: SessionId, member: Acting, session: Writing) -> LoggedOut:
    """End one of the user's sessions."""
    if not sessions.end_session(session, person_of(member), member.person_id, session_id):
        raise NoSuchSession
    return LoggedOut()


@user.post("/confirm", response_model_exclude_none=True)
def confirm_identity(
    body: IdentityConfirmation,
    response: Response,
    request: Request,
    member: Acting,
) -> IdentityConfirmed:
    """Confirm that it is you, for the next ten minutes.

    Routes that change how somebody signs in or what may act for them require a confirmation of at most ten minutes ago;
    signing in is one too. Somebody with a second factor confirms with a code of it. The session gets new tokens, and its old ones
    end. With `provider`, the answer has the address at which the person signs in again.
    """
    if body.provider is not None:
        require_one_factor(member)
        started = begin_login(
            provider_of(body.provider),
            purpose=Purpose.CONFIRM,
            member=member,
            account=body.public_key,
        )
        cookies.set_login_state(response, started.state, ANSWER_LIFE)
        return IdentityConfirmed(url=started.url)
    if body.passkey is not None:
        tokens = confirm_by_passkey(member, body.passkey, _browser(request))
    elif body.code is not None or body.recovery_code is not None:
        typed = _typed(body.code, body.recovery_code)
        tokens = confirm_by_code(member, typed, _browser(request))
    elif body.password is not None:
        tokens = confirm_by_password(member, body.password, _browser(request))
    else:
        words = "Send your password, a code of your second factor, or the provider of one of your logins."
        raise FieldNeeded("password", words)
    cookies.set_session(response, tokens)
    return IdentityConfirmed(confirmed=True)


@user.post("/password")
def change_own_password(body: PasswordChange, member: Acting) -> PasswordChanged:
    """Change the password, or set the first one. The user's other sessions end, and the user is emailed.

    With `endPrograms`, the API keys that the user made, the consents and the device logins end too.
    """
    ended = change_password(member, body.current, body.password, with_programs=body.end_programs)
    return PasswordChanged(
        sessions=ended.sessions,
        keys=[
            EndedProgram(id=one.id, name=one.name, org_id=one.organization_id) for one in ended.keys
        ],
        consents=[
            EndedProgram(id=one.id, name=one.name, org_id=one.organization_id)
            for one in ended.consents
        ],
    )


@user.post("/email")
def change_email(body: EmailChange, member: Acting, session: Writing) -> EmailChangeRequested:
    """Change the account's address. The new one is emailed a link, which proves it.

    The answer does not say whether another account has the address: its owner is told by email.
    """
    changed = request_change(
        session, member.person_id, member.session_id, body.email, by=person_of(member)
    )
    return EmailChangeRequested(changed=changed)


@user.delete("/account", operation_id="deleteAccount")
def delete_own_account(member: Acting, session: Writing, response: Response) -> DeletedOut:
    """Delete the account, and the organizations in which the person is alone.

    Every session, API key, consent and device login of the person ends at once. For 14 days an emailed link restores the
    account; then everything is erased, and what the person made for other organizations stays there without a name. The only
    owner of an organization that has other members must hand it over first (409 `others_need_an_owner`).
    """
    return _deleted(member, session, response)


@user.post("/delete-account", operation_id="deleteAccountByPost")
def post_delete_account(member: Acting, session: Writing, response: Response) -> DeletedOut:
    """Delete the account, as `DELETE /user/account` does."""
    return _deleted(member, session, response)


@user.get("/logins")
def list_logins(member: Acting, session: Reading) -> LoginList:
    """List with what the user signs in: a password, and accounts at other providers."""
    ways = FIND_WAYS.one(session, member.person_id)
    return LoginList(
        password=ways.has_password,
        logins=[
            LoginOut(**{**row._asdict(), "provider": row.provider.value.upper()})
            for row in LIST_LOGINS.all(session, member.person_id)
        ],
    )


@user.post("/logins", responses=refusals(503))
def add_login(body: LoginStart, response: Response, member: Acting) -> LoginStarted:
    """Start adding a login at another provider. It is added when the browser has come back from there."""
    started = begin_login(
        provider_of(body.provider), purpose=Purpose.LINK, member=member, account=body.public_key
    )
    cookies.set_login_state(response, started.state, ANSWER_LIFE)
    return LoginStarted(url=started.url)


@user.delete("/logins/{login_id}")
def delete_login(login_id: LoginId, member: Acting, session: Writing) -> LoginRemoved:
    """Remove a login, unless the user could not sign in without it. The user's other sessions end."""
    by = person_of(member)
    remove_login(session, member.person_id, login_id, by=by)
    event = Event.CREDENTIAL_CHANGED
    ended = end_access(session, event, member.person_id, own_session=member.session_id, by=by)
    return LoginRemoved(id=login_id, ended=ended.sessions)


@user.get("/factors", operation_id="listSecondFactors")
def list_factors(member: Acting, session: Reading) -> FactorList:
    """List the user's second factors, oldest first."""
    return FactorList(
        factors=[FactorOut(**row._asdict()) for row in LIST_FACTORS.all(session, member.person_id)],
        recovery_codes=COUNT_RECOVERY_CODES.one(session, member.person_id).left,
    )


@user.post("/factors", operation_id="addSecondFactor", status_code=201)
def begin_factor(body: FactorStart, member: Acting) -> FactorStarted:
    """Start adding an authenticator app. It counts from its first code on, which must be sent within an hour."""
    new = second_factors.begin_app(member, body.name)
    return FactorStarted(id=new.id, secret=new.secret, address=new.address, picture=new.picture)


@user.post("/factors/{factor_id}/confirm", operation_id="confirmSecondFactor")
def finish_factor(
    factor_id: FactorId, body: FactorFinish, response: Response, request: Request, member: Acting
) -> FactorFinished:
    """Finish adding an authenticator app with a code that it shows.

    The user's other sessions end, and the user is emailed. With the first factor come ten recovery codes, which only this answer
    shows.
    """
    added = second_factors.finish_app(member, factor_id, body.code, _browser(request))
    cookies.set_session(response, added.tokens)
    return FactorFinished(id=factor_id, recovery_codes=added.codes, ended=added.ended.sessions)


@user.delete("/factors/{factor_id}", operation_id="removeSecondFactor")
def delete_factor(factor_id: FactorId, member: Acting, session: Writing) -> FactorRemoved:
    """Remove a second factor; with the last one, the recovery codes go too.

    The user's other sessions end, and the user is emailed.
    """
    left, ended = second_factors.remove(session, member, factor_id)
    return FactorRemoved(id=factor_id, left=left, ended=ended.sessions)


@user.post("/passkeys", operation_id="startPasskey", status_code=201)
def begin_passkey(member: Acting, session: Autocommit) -> PasskeyOptions:
    """Start adding a passkey: returns what the browser needs to make one, once, within five minutes."""
    email = identity.FIND_PASSWORD.one(session, member.person_id).email
    return PasskeyOptions(options=passkeys.options_to_add(session, member.person_id, email=email))


@user.post("/passkeys/finish", operation_id="finishPasskey", status_code=201)
def finish_passkey(
    body: PasskeyFinish, response: Response, request: Request, member: Acting
) -> FactorFinished:
    """Add a passkey that the browser has made. It is a second factor, and signs its owner in without an address.

    The user's other sessions end, and the user is emailed. With the first factor come ten recovery codes, which only this answer
    shows.
    """
    factor_id, added = second_factors.add_passkey(
        member, body.passkey, body.name, _browser(request)
    )
    cookies.set_session(response, added.tokens)
    return FactorFinished(id=factor_id, recovery_codes=added.codes, ended=added.ended.sessions)


@user.post("/confirm/options", operation_id="startPasskeyConfirmation")
def get_confirmation_options(member: Acting, session: Autocommit) -> PasskeyOptions:
    """Return what the browser needs to confirm with a passkey that it is you."""
    return PasskeyOptions(options=passkeys.options_to_prove(session, member.person_id)[0])


@user.post("/recovery-codes", operation_id="replaceRecoveryCodes", status_code=201)
def replace_codes(member: Acting, session: Writing) -> RecoveryCodes:
    """Replace the recovery codes. Only this answer shows the new ones; the old ones no longer work."""
    return RecoveryCodes(recovery_codes=second_factors.replace_recovery_codes(session, member))


@user.get("/recovery", operation_id="listClosedSeats")
def get_closed_seats(member: Acting, session: Reading) -> ClosedSeats:
    """List the organizations that stay closed to the user since their account was recovered, until another owner agrees."""
    return ClosedSeats(
        closed=[
            ClosedSeat(id=row.organization_id, name=row.name, objected=row.is_objected)
            for row in recovery.list_closed(session, member)
        ]
    )


@user.get("/devices", operation_id="listRememberedDevices")
def list_devices(request: Request, member: Acting, session: Reading) -> DeviceList:
    """List the browsers from which signing in needs no second factor, last used first."""
    tokens = devices.hashes(cookies.read_devices(request))
    return DeviceList(
        devices=[
            DeviceOut(
                id=row.id,
                device=device_name(row.user_agent),
                first_used_at=row.first_used_at,
                last_used_at=row.last_used_at,
                remembered_until=row.remembered_until,
                current=row.is_current,
            )
            for row in LIST_REMEMBERED.all(session, member.person_id, tokens)
        ]
    )


@user.delete("/devices/{device_id}", operation_id="forgetDevice")
def delete_device(device_id: DeviceId, member: Acting, session: Writing) -> DeviceForgotten:
    """Forget a browser: its next sign-in needs the second factor again."""
    second_factors.forget_device(session, member, device_id)
    return DeviceForgotten(id=device_id)


@user.get("/impersonate")
def find_members_to_impersonate(
    name: Annotated[str, Query(min_length=1, max_length=200)], session: Reading
) -> ImpersonationCandidates:
    """Search members of any organization by name or address. For super admins."""
    return ImpersonationCandidates(
        members=[
            ImpersonationCandidate.model_validate(row)
            for row in organizations.search_members(session, name)
        ]
    )


@user.post("/impersonate")
def impersonate_user(
    body: ImpersonationIn, response: Response, member: Acting, session: Writing
) -> Impersonation:
    """Act as a member with the cookie `impersonate`, for at most an hour. For super admins, with a reason.

    The organization's audit log has the beginning and the end, and its owners get an email unless they have switched that off.
    In the member's place nobody changes how they sign in, their keys, consents, roles or payments, and nobody exports or
    deletes anything: 403 `not_in_their_place`. When it is over, the answer is 401 `impersonation_over`.
    """
    operator = operator_of(member)
    if body.id is None:
        end_impersonations(session, operator)
        ends_at = None
    elif body.reason is None:
        raise FieldNeeded("reason", "Enter why you act as this member. Its organization sees it.")
    else:
        ends_at = begin_impersonation(session, operator, body.id, body.reason)
    cookies.impersonate(response, body.id)
    return Impersonation(id=body.id, ends_at=ends_at)


@user.get("/api-key")
def list_api_keys(member: Acting, session: Reading) -> ApiKeyList:
    """List the API keys that see no more than the caller, newest first. The keys themselves are never shown again."""
    rows = organizations.LIST_API_KEYS.all(session, *member.reach)
    return ApiKeyList(keys=[ApiKeyOut.model_validate(row) for row in rows])


@user.post("/api-key", status_code=201)
def create_api_key(body: ApiKeyIn, member: Acting, session: Writing) -> ApiKeyMade:
    """Create an API key. Only this answer shows it.

    It never sees more customers than its creator.
    """
    check_scopes(member, body.scopes)
    customers = limit_to(session, member.reach, body.customers)
    return make_api_key(
        session,
        actor_of(member),
        member.person_id,
        name=body.name,
        scopes=tuple(sorted(body.scopes)),
        customers=customers,
        expires_at=body.expires_at,
    )


@user.put("/api-key/{key_id}")
def update_api_key(
    key_id: ApiKeyId, body: ApiKeyChange, member: Acting, session: Writing
) -> ApiKeyOut:
    """Change an API key's name, scopes, customers or expiry."""
    check_scopes(member, body.scopes or ())
    customers = limit_to(session, member.reach, body.customers)
    return change_api_key(
        session, member.reach, actor_of(member), key_id, body, customers=customers
    )


@user.post("/api-key/{key_id}/rotate", operation_id="rotateApiKey", status_code=201)
def replace_api_key(
    key_id: ApiKeyId, member: Acting, session: Writing, body: ApiKeyRotation | None = None
) -> ApiKeyMade:
    """Rotate an API key. The old one is refused at once, unless you keep it valid for some more hours."""
    check_rotation(member)
    hours = (body or ApiKeyRotation()).keep_old_for_hours
    return rotate_api_key(
        session, member.reach, actor_of(member), key_id, keep_old_for=timedelta(hours=hours)
    )


@user.post("/api-key/rotate", operation_id="rotateOnlyApiKey", status_code=201)
def replace_only_api_key(member: Acting, session: Writing) -> ApiKeyRotated:
    """Rotate the only API key. The old one is refused at once. With several keys, use `POST /user/api-key/{key_id}/rotate`."""
    key = rotate_only_api_key(session, member.reach, actor_of(member)).key
    return ApiKeyRotated(api_key=key)


@user.delete("/api-key/{key_id}")
def delete_api_key(key_id: ApiKeyId, member: Acting, session: Writing) -> ApiKeyRevoked:
    """Revoke an API key. The next request with it is refused."""
    revoke_api_key(session, member.reach, actor_of(member), key_id)
    return ApiKeyRevoked(id=key_id)


app = make_app("identity", routers=[auth, user, pages])
handler = as_handler(app)


def _deleted(member: ActingMember, session: DbSession, response: Response) -> DeletedOut:
    deleted = delete_account(session, member)
    cookies.clear_session(response)
    return DeletedOut.model_validate(deleted)


def _browser(request: Request) -> sessions.Browser:
    return sessions.Browser(
        ip=client_address(request),
        user_agent=request.headers.get("user-agent"),
        devices=cookies.read_devices(request),
        country=client_country(request),
        request_id=getattr(request.state, "request_id", None),
    )


def _returned(request: Request, state: str) -> Returned:
    return Returned(
        state=state,
        kept_state=cookies.read(request, cookies.LOGIN_STATE),
        waiting_link=cookies.read(request, cookies.LINKING),
        browser=_browser(request),
    )


def _typed(code: str | None, recovery_code: str | None) -> TypedCode:
    """Return the code that was sent.

    Raises:
        FieldNeeded: none was, or both.
    """
    if code is not None and recovery_code is None:
        return TypedCode(Method.TOTP, code)
    if recovery_code is not None and code is None:
        return TypedCode(Method.RECOVERY_CODE, recovery_code)
    raise FieldNeeded("code", "Send the code of your app as `code`, or a `recoveryCode`.")


def _ask_factor(response: Response, needed: sessions.FactorNeeded) -> dict[str, Any]:
    """Bind the sign-in that waits to the browser, and return the fields of the answer."""
    cookies.set_second_factor(response, needed.secret)
    return {"mfa": True, "methods": [method.value for method in needed.methods]}


def _logged_in(
    request: Request,
    response: Response,
    session: DbSession,
    user_id: UserId,
    tokens: sessions.SessionTokens,
) -> LoggedIn:
    cookies.set_session(response, tokens)
    response.headers["reload"] = "true"
    waiting = cookies.read(request, cookies.LINKING)
    linked = link_waiting(session, user_id, waiting, by=_browser(request).visitor) or None
    if waiting:
        cookies.clear(response, cookies.LINKING)
    return LoggedIn(login=True, linked=linked)


def _keep(response: Response, outcome: Outcome) -> None:
    """Set the cookies that follow from a login, and remove those that have served their purpose."""
    cookies.clear(response, cookies.LOGIN_STATE)
    match outcome:
        case SignedIn() | Confirmed():
            cookies.set_session(response, outcome.tokens)
            cookies.clear(response, cookies.LINKING)
            response.headers["reload"] = "true"
        case FactorAsked():
            cookies.set_second_factor(response, outcome.needed.secret)
        case Unknown():
            cookies.set_login_state(response, outcome.token, REGISTRATION_LIFE)
        case KnownAddress():
            cookies.set_linking(response, outcome.secret, LINK_LIFE)


def _finished(outcome: Outcome) -> LoginFinished:
    match outcome:
        case SignedIn():
            return LoginFinished(login=True, linked=outcome.linked or None)
        case FactorAsked():
            methods = [method.value for method in outcome.needed.methods]
            return LoginFinished(mfa=True, methods=methods)
        case Unknown():
            return LoginFinished(
                token=outcome.token, email=outcome.email, name=outcome.name or None
            )
        case KnownAddress():
            return LoginFinished(confirm=[method.value for method in outcome.methods])
        case Linked():
            return LoginFinished(linked=True)
        case Confirmed():
            return LoginFinished(confirmed=True)


def _page_of(outcome: Outcome) -> Response:
    match outcome:
        case SignedIn():
            return finished_page("You are signed in", own_path(outcome.return_to))
        case FactorAsked():
            return factor_page(own_path(outcome.return_to))
        case Unknown():
            return register_page(outcome)
        case KnownAddress():
            return confirm_page(outcome, list_offered(), own_path(outcome.return_to))
        case Linked():
            return finished_page("The login was added", own_path(outcome.return_to))
        case Confirmed():
            return finished_page("You have confirmed that it is you", own_path(outcome.return_to))
