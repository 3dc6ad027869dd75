"""Connects an account as a channel: start, return, choose a platform page. Each step refuses accounts that cannot be posted to.

The state proves the right to finish: 256 bits that are valid once within an hour. With the state alone, somebody could send
their own consent link to a stranger and get the stranger's account. So the starting browser gets a cookie, and only in that
browser is the connection finished immediately; any other browser is first shown which organization will post as its account,
and must agree. (An API client may start for a customer, who uses another browser.) A form has no such step, so if a browser
started it, only that browser can fill it in; if a program did, the form itself names the organization. The member who started
must still be allowed to connect channels at the end: their role, and the session, API key or grant with which they started,
are checked on return and again when the channel is stored, because requests to the platform take seconds.

An existing channel is renewed only by a request that names it; otherwise an account that is already connected is refused. The
team is notified whenever the tokens or the server of a channel change.

A new channel belongs to the customer that the member named. A member who is limited to customers must name one of theirs, unless
there is only one. What they may not see is not there for them, except that the organization connects an account only once.

No transaction is open during requests to a platform.
"""

import json
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy.orm import Session

from shared.audit.entries import Action, Actor
from shared.audit.record import record
from shared.aws.keys import open_sealed, seal
from shared.channels import queries
from shared.channels.ask import MEMBER_WAITS, ask
from shared.channels.change import delete_channel
from shared.channels.connect_queries import (
    ADD_CHANNEL,
    ADD_STATE,
    FIND_USER_NAME,
    LOCK_ACCOUNT,
    RENEW_CHANNEL,
    USE_STATE,
    KnownAccount,
)
from shared.channels.connection import open_new_connection
from shared.channels.connectors import Connector, find_reach, require_may_connect
from shared.channels.customer_queries import check_customer, hold_customer
from shared.channels.errors import (
    AccountNotFree,
    AlreadyConnected,
    AskAgain,
    ChannelNotFound,
    CustomerNeeded,
    CustomerNotFound,
    NoPages,
    NotStarted,
    OtherAccount,
    OtherBrowser,
    PageChosen,
    ProviderNotFound,
    refusal,
)
from shared.channels.levels import check_room, within_channels
from shared.channels.pending import PendingConnection, find_state
from shared.channels.queries import ChannelSummary
from shared.channels.slots import default_posting_times
from shared.channels.tokens import sealed_tokens
from shared.core.config import settings
from shared.core.crypto import Purpose, hash_secret, new_secret
from shared.core.errors import AppError, FieldProblem, InvalidInput
from shared.core.ids import ChannelId, CustomerId, OrganizationId, UserId, new_id
from shared.core.log import log
from shared.core.reach import Reach
from shared.db.session import read_only, run
from shared.db.statement import to_json
from shared.notifications.models import NotificationKind
from shared.notifications.notify import notify
from shared.providers.base import (
    Account,
    Authorization,
    CanListPages,
    Connection,
    PlatformPage,
    Provider,
)
from shared.providers.errors import PlatformUnavailable, ProviderError, ScopesTooNarrow
from shared.providers.http import Api
from shared.providers.oauth import access_with
from shared.providers.registry import provider, slugs
from shared.providers.spec import Fields, ProviderSpec

STATE_LIFETIME = timedelta(hours=1)


class _Step(StrEnum):
    """The next step that a state allows. A finished state is kept for its hour, to distinguish a reload from a failure."""

    CONNECT = "connect"
    CHOOSE_PAGE = "choose_page"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class NewConnection:
    """A member's request to connect.

    `instance` is the server, if the platform has several. `reconnects` is the channel to reconnect, by our id or its
    `remote_id`. `return_url` is the address for the browser afterwards. `zone` is for `default_posting_times`. `browser` is the
    secret in the starting browser's cookie, None for a program. `customer_id` is the customer of a new channel.
    """

    zone: str | int
    instance: str | None = None
    reconnects: str | None = None
    return_url: str | None = None
    browser: str | None = None
    customer_id: CustomerId | None = None


_NO_STATE = FieldProblem(
    "state",
    "missing",
    "`state` is missing or unknown. Send the one from the start of this "
    "connection, or start again.",
)


@dataclass(frozen=True, slots=True)
class Finished:
    """A connected channel. The member must choose from `pages` while `channel.needs_page`.

    `page_state` is the right to choose one without being signed in, like the state.
    """

    channel: ChannelSummary
    pages: Sequence[PlatformPage] = ()
    page_state: str | None = None
    return_url: str | None = None


def offered(slug: str) -> Provider:
    """Return a provider that members may connect to.

    Raises:
        ProviderNotFound: there is no such platform, or the operator turned it off.
    """
    known = [one for one in slugs() if one not in settings().hidden_providers]
    if slug not in known:
        raise ProviderNotFound(slug, known)
    return provider(slug)


def redirect_uri(slug: str) -> str:
    """Return the redirect address for platforms."""
    return f"{settings().console_url}/integrations/social/{slug}"


def start(connector: Connector, slug: str, wanted: NewConnection) -> str:
    """Start connecting, and return the address that the member's browser must open.

    For a platform with a form, it is our own HTML page with the form.

    Raises:
        ProviderNotFound: there is no such platform.
        ChannelNotFound: the channel to connect again is not there.
        CustomerNeeded: the member is limited to several customers and names none.
        CustomerNotFound: the member sees no such customer.
        PlanUsedUp: the plan includes no more channels.
        AppError: the platform refused, in its own words.
    """
    offered(slug)
    organization_id, reach = connector.organization_id, connector.reach
    again = _to_reconnect(reach, slug, wanted.reconnects)
    customer_id = None if again else _customer_of_new(reach, wanted.customer_id)
    if again is None:
        check_room(organization_id)
    try:
        acting, api = open_new_connection(slug)
        authorization = acting.authorize(
            api,
            redirect_uri=redirect_uri(slug),
            instance=wanted.instance or (_instance_of(reach, again) if again else None),
        )
    except ProviderError as error:
        raise _refused(error, slug, "start") from error
    remember = {
        "zone": wanted.zone,
        "browser": hash_secret(wanted.browser).hex() if wanted.browser else None,
        "step": _Step.CONNECT,
    }
    run(
        _adding_state(
            connector,
            authorization.state,
            _sealed(organization_id, remember, authorization),
            slug=slug,
            uri=redirect_uri(slug),
            reconnects=again.id if again else None,
            customer_id=customer_id,
            return_url=wanted.return_url,
        )
    )
    query = urllib.parse.urlencode({"state": authorization.state})
    return authorization.url or f"{redirect_uri(slug)}?{query}"


def ask_wider(pending: PendingConnection) -> None:
    """Start again with broader scopes if the platform does not accept the requested ones.

    Returns if there are no broader scopes; otherwise the first state is no longer valid.

    Raises:
        AskAgain: has the address at which the member must agree.
        AppError: the platform refused, in its own words.
    """
    remembered = _remembered(pending)
    try:
        acting, api = open_new_connection(
            pending.provider, deadline=time.monotonic() + MEMBER_WAITS.total_seconds()
        )
        authorization = acting.ask_wider(
            api, redirect_uri=pending.redirect_uri, remember=remembered["provider"]
        )
    except ProviderError as error:
        raise _refused(error, pending.provider, "start") from error
    if authorization is None:
        return
    run(
        _adding_state(
            pending.connector,
            authorization.state,
            _sealed(pending.organization_id, remembered, authorization),
            slug=pending.provider,
            uri=pending.redirect_uri,
            reconnects=pending.again.id if pending.again else None,
            customer_id=pending.customer_id,
            return_url=pending.return_url,
        )
    )
    raise AskAgain(acting.spec.name, authorization.url)


def _sealed(
    organization_id: OrganizationId, remember: Mapping[str, Any], authorization: Authorization
) -> bytes:
    """Seal the data for the return of the member's browser."""
    kept = json.dumps({**remember, "provider": dict(authorization.remember)})
    return seal(kept, Purpose.CONNECTING, organization_id)


def _adding_state(
    connector: Connector,
    state: str,
    remember: bytes,
    *,
    slug: str,
    uri: str,
    reconnects: ChannelId | None,
    customer_id: CustomerId | None = None,
    return_url: str | None = None,
) -> Callable[[Session], object]:
    """Return the parameters that store a state; `remember` is already sealed."""
    return lambda session: ADD_STATE.run(
        session,
        connector.organization_id,
        state,
        **connector.columns(),
        provider=slug,
        redirect_uri=uri,
        remember=remember,
        reconnects=reconnects,
        customer_id=customer_id,
        return_url=return_url,
        life_seconds=STATE_LIFETIME.total_seconds(),
    )


def find_pending(slug: str, state: str) -> PendingConnection:
    """Read a state's connection without using it up.

    Raises:
        NotStarted: the state is unknown or no longer valid.
    """
    pending = _find_state(slug, state)
    if pending is None or _remembered(pending)["step"] == _Step.FINISHED:
        raise NotStarted
    return pending


def find_finished(slug: str, state: str) -> ChannelSummary | None:
    """Find the channel of a finished state; None if it is not finished, or the channel no longer works."""
    pending = _find_state(slug, state)
    if pending is None or _remembered(pending)["step"] != _Step.FINISHED:
        return None
    channel = pending.again
    return channel if channel and channel.disconnected_at is None else None


def require_code(spec: ProviderSpec, code: str, *, missing: Sequence[FieldProblem] = ()) -> None:
    """Check that the code or form fields that `connect` needs are present.

    Raises:
        InvalidInput: they are missing; lists `missing` fields too.
    """
    problems = list(missing)
    if not code and isinstance(spec.auth, Fields):
        names = ", ".join(f"`{field.name}`" for field in spec.auth.fields)
        problems.append(
            FieldProblem("fields", "missing", f"`fields` is incomplete. Send {names} in it.")
        )
    elif not code:
        problems.append(
            FieldProblem(
                "code", "missing", "`code` is required. Send the code that the platform returned."
            )
        )
    if problems:
        words = " ".join(problem.message for problem in problems)
        raise InvalidInput(words, problems=problems)


def was_started_by(pending: PendingConnection, browser: str | None) -> bool:
    """Return whether the browser with the secret `browser` started the connection."""
    started_by = _remembered(pending)["browser"]
    return bool(browser) and started_by == hash_secret(str(browser)).hex()


def check_form_browser(pending: PendingConnection, browser: str | None) -> None:
    """Check that the browser with the secret `browser` may fill in the form.

    A connection that a program started is for another person's browser, so any browser may.

    Raises:
        OtherBrowser: another browser started.
    """
    if _remembered(pending)["browser"] and not was_started_by(pending, browser):
        raise OtherBrowser


def finish(
    slug: str,
    state: str,
    code: str,
    *,
    caller: Connector | None = None,
    visitor: Actor | None = None,
    zone: str | int | None = None,
) -> Finished:
    """Connect a channel with the platform's code, or the form's fields as JSON.

    `caller` is the signed-in member, if any, who cannot finish another organization's state; `visitor` is the browser that
    returned, if it need not be signed in. The first try uses up a code and its state; a form can be filled in again until it
    is right.

    Raises:
        InvalidInput: there is no code.
        NotStarted: the state is unknown, used, expired or another organization's, or the member who started it may no longer
            connect channels, or the caller does not see the channel.
        MayNotConnect: the caller may no longer connect channels.
        CustomerNotFound: the customer of the new channel was deleted, or the member no longer sees it.
        OtherAccount: the channel to reconnect has another account.
        AlreadyConnected: the account is already a channel, and this is not a request to reconnect it.
        AskAgain: the platform requires broader scopes, and the member must agree again.
        PlanUsedUp: the plan includes no more channels.
        AppError: the platform refused, in its own words.
    """
    spec = offered(slug).spec
    require_code(spec, code)
    pending = find_pending(slug, state)
    remembered = _remembered(pending)
    is_foreign = caller is not None and pending.organization_id != caller.organization_id
    if is_foreign or remembered["step"] != _Step.CONNECT:
        raise NotStarted
    is_form = isinstance(spec.auth, Fields)
    if not is_form:
        _use_up(pending)
    try:
        made = _connect(
            pending.reach,
            slug,
            code,
            uri=pending.redirect_uri,
            remember=remembered["provider"],
            again=pending.again,
        )
    except ScopesTooNarrow as error:
        ask_wider(pending)
        raise _refused(error, slug, "finish") from error
    chosen = _Chosen(
        remembered["zone"] if zone is None else zone,
        pending.again.id if pending.again else None,
        pending.customer_id,
    )
    sealed = _sealed_step(_Step.FINISHED, pending.organization_id)
    connector = pending.connector.arriving(visitor) if visitor else pending.connector

    def save(session: Session) -> ChannelSummary:
        with within_channels(session, pending.organization_id):
            reach = (
                _use_form(session, pending) if is_form else find_reach(session, pending.connector)
            )
            if reach is None:
                raise NotStarted
            starter = pending.connector.user_id
            channel = _save(session, reach, made, chosen, caller or connector, starter)
        if caller and not require_may_connect(session, caller).includes(channel.customer_id):
            raise NotStarted
        _add_state_of(session, channel, pending.connector, state, sealed)
        return channel

    channel = run(save)
    _note(channel)
    return _finished(channel, pending.connector, pending.return_url)


def connect_by_form(
    connector: Connector,
    slug: str,
    fields: str,
    *,
    zone: str | int,
    reconnects: str | None = None,
    customer_id: CustomerId | None = None,
) -> Finished:
    """Connect with a form's fields (JSON) in one step, without a start.

    `reconnects` and `customer_id` are those of `NewConnection`.

    Raises:
        InvalidInput: a field is missing or invalid, or the platform has no form.
        CustomerNeeded: the member is limited to several customers and names none.
        CustomerNotFound: the member sees no such customer.
        MayNotConnect: the caller lost the right during the request to the platform.
        PlanUsedUp: the plan includes no more channels.
        AppError: as `finish`.
    """
    reach = connector.reach
    spec = offered(slug).spec
    is_form = isinstance(spec.auth, Fields)
    require_code(spec, fields, missing=() if is_form else (_NO_STATE,))
    again = _to_reconnect(reach, slug, reconnects)
    wanted = None if again else _customer_of_new(reach, customer_id)
    if again is None:
        check_room(connector.organization_id)
    made = _connect(
        reach,
        slug,
        fields,
        uri=redirect_uri(slug),
        remember={},
        again=again,
    )
    chosen = _Chosen(zone, again.id if again else None, wanted)

    def save(session: Session) -> ChannelSummary:
        with within_channels(session, connector.organization_id):
            now = require_may_connect(session, connector)
            return _save(session, now, made, chosen, connector, connector.user_id)

    channel = run(save)
    _note(channel)
    return _finished(channel, connector, None)


def list_pages(reach: Reach, channel_id: ChannelId) -> Sequence[PlatformPage]:
    """List the pages that a channel can post to.

    Raises:
        NoPages: the platform has none to choose from.
        AppError: the platform refused, in its own words.
    """
    return ask(reach, channel_id, lambda acting, api: _with_pages(acting).pages(api))


def choose_page(connector: Connector, channel_id: ChannelId, page_id: str) -> ChannelSummary:
    """Connect a channel to the platform page that the member chose.

    Raises:
        PageChosen: the channel already has a page.
        ChannelNotFound: the member sees no such channel.
        MayNotConnect: the member lost the right during the request to the platform.
        AlreadyConnected: the page is another channel of the organization.
        AppError: the platform refused, in its own words.
    """
    organization_id, reach = connector.organization_id, connector.reach
    with read_only() as session:
        pending = queries.get_channel_to_open(session, reach, channel_id)
    if not pending.needs_page:
        raise PageChosen(pending.name)
    made = ask(
        reach,
        channel_id,
        lambda acting, api: _valid(_with_pages(acting).choose_page(api, page_id), acting),
    )
    columns = {
        **_columns(organization_id, pending.provider, made),
        "root_remote_id": pending.remote_id,
        "needs_page": False,
    }
    # A page without its own token uses the account's.
    columns["refresh_token"] = columns["refresh_token"] or pending.refresh_token

    def save(session: Session) -> ChannelSummary:
        with within_channels(session, organization_id):
            now = require_may_connect(session, connector)
            other = LOCK_ACCOUNT.find(session, *now, pending.provider, made.account.remote_id)
            if other and other.id != channel_id:
                if not other.is_deleted:
                    raise _connected_before(other)
                delete_channel(session, now, connector.as_actor(), channel_id)
                return _renew(session, now, connector, other.id, columns)
            return _renew(session, now, connector, channel_id, columns)

    channel = run(save)
    _note(channel)
    return channel


def choose_page_by_state(slug: str, state: str, page_id: str, *, visitor: Actor) -> ChannelSummary:
    """Choose a page with `Finished.page_state`. `visitor` is the browser, which need not be signed in.

    Raises:
        NotStarted: the state does not allow it, or no longer.
        AppError: as `choose_page`.
    """
    pending = find_pending(slug, state)
    if pending.again is None or _remembered(pending)["step"] != _Step.CHOOSE_PAGE:
        raise NotStarted
    channel = choose_page(pending.connector.arriving(visitor), pending.again.id, page_id)
    sealed = _sealed_step(_Step.FINISHED, channel.organization_id)

    def save(session: Session) -> None:
        if USE_STATE.run(session, state, slug):
            _add_state_of(session, channel, pending.connector, state, sealed)

    run(save)
    return channel


@dataclass(frozen=True, slots=True)
class _Made:
    """A finished connection, ready to be stored. Its tokens are already sealed, which may need the key service."""

    slug: str
    remote_id: str
    columns: Mapping[str, Any]
    server: str | None  # the account's server, if there are several
    server_before: str | None  # of the channel to reconnect


@dataclass(frozen=True, slots=True)
class _Chosen:
    zone: str | int
    reconnects: ChannelId | None
    customer_id: CustomerId | None


def _customer_of_new(reach: Reach, wanted: CustomerId | None) -> CustomerId | None:
    """Return the customer of a new channel: the one that the member names, or the only one that they see."""
    if wanted is None:
        if reach.customers is None:
            return None
        if len(reach.customers) != 1:
            raise CustomerNeeded
        return reach.customers[0]
    with read_only() as session:
        check_customer(session, reach, wanted)
    return wanted


def _to_reconnect(reach: Reach, slug: str, name: str | None) -> ChannelSummary | None:
    if not name:
        return None
    with read_only() as session:
        found = queries.find_channel_by_name(session, reach, slug, name)
    if found is None:
        raise ChannelNotFound
    return found


def _instance_of(reach: Reach, channel: ChannelSummary) -> str | None:
    """Return a channel's server for reconnecting it."""
    with read_only() as session:
        opened = queries.get_channel_to_open(session, reach, channel.id)
    if not opened.details:
        return None
    details: Mapping[str, str] = json.loads(
        open_sealed(opened.details, Purpose.CHANNEL, reach.organization_id)
    )
    return details.get("base")


def _find_state(slug: str, state: str) -> PendingConnection | None:
    if "\0" in state:  # a value that the database cannot search for
        return None
    with read_only() as session:
        return find_state(session, state, slug)


def _remembered(pending: PendingConnection) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(
        open_sealed(pending.remember, Purpose.CONNECTING, pending.organization_id)
    )
    return kept


def _use_up(pending: PendingConnection) -> None:
    if not run(lambda session: USE_STATE.run(session, pending.state, pending.provider)):
        raise NotStarted


def _use_form(session: Session, pending: PendingConnection) -> Reach | None:
    """Use up the state of a form; return what the member who started sees, None if another request was faster."""
    used = USE_STATE.find(session, pending.state, pending.provider)
    return Reach(pending.organization_id, used.customers) if used else None


def _connect(
    reach: Reach,
    slug: str,
    code: str,
    *,
    uri: str,
    remember: Mapping[str, str],
    again: ChannelSummary | None,
) -> _Made:
    organization_id = reach.organization_id
    try:
        # Fetches the data key first, because a code works only once.
        seal("", Purpose.CHANNEL, organization_id)
        acting, api = open_new_connection(
            slug, deadline=time.monotonic() + MEMBER_WAITS.total_seconds()
        )
        connection = _valid(
            acting.connect(api, code=code, redirect_uri=uri, remember=remember), acting
        )
        root = None
        if again:
            connection, root = _same_account(acting, api, connection, again)
    except ScopesTooNarrow:
        raise  # the caller asks again
    except ProviderError as error:
        raise _refused(error, slug, "finish") from error
    columns = {
        **_columns(organization_id, slug, connection),
        "root_remote_id": root,
        "needs_page": acting.spec.choose_page and root is None,
    }
    return _Made(
        slug,
        connection.account.remote_id,
        columns,
        server=connection.details.get("base"),
        server_before=_instance_of(reach, again) if again else None,
    )


def _same_account(
    acting: Provider, api: Api, connection: Connection, channel: ChannelSummary
) -> tuple[Connection, str | None]:
    """Check that a reconnected channel has the same account; a page is reached through its account.

    Returns:
        The connection, of the page where the channel is one, and the account through which the page was reached.

    Raises:
        OtherAccount: it is another account.
    """
    account = connection.account
    if account.remote_id == channel.remote_id:
        return connection, channel.root_remote_id
    if account.remote_id == channel.root_remote_id and isinstance(acting, CanListPages):
        access = access_with(connection.tokens, connection.details, remote_id=account.remote_id)
        page = _valid(acting.choose_page(api.acting_as(access), channel.remote_id), acting)
        return page, account.remote_id
    raise OtherAccount(channel.username or channel.name, account.username or account.name)


def _valid(connection: Connection, acting: Provider) -> Connection:
    """Check that the connection can be used: an empty token or id would fail at the first post.

    Raises:
        PlatformUnavailable: the platform left one of them out.
    """
    if connection.tokens.access and connection.account.remote_id:
        return connection
    missing = "token" if connection.account.remote_id else "account"
    raise PlatformUnavailable(f"{acting.spec.name} did not return the {missing}. Connect again.")


def _save(
    session: Session,
    reach: Reach,
    made: _Made,
    chosen: _Chosen,
    connector: Connector,
    user_id: UserId,
) -> ChannelSummary:
    """Store the channel. `reach` is that of who began to connect, `user_id`; `connector` acts."""
    if chosen.reconnects:
        renewed = _renew(session, reach, connector, chosen.reconnects, made.columns)
        _notify_renewed(session, renewed, made, user_id)
        return renewed
    known = LOCK_ACCOUNT.find(session, *reach, made.slug, made.remote_id)
    if known and (known.is_in_use or not known.is_visible):
        raise _connected_before(known)
    if known:
        return _renew(session, reach, connector, known.id, made.columns)
    if chosen.customer_id:
        hold_customer(session, reach, chosen.customer_id)
    elif reach.is_limited:  # the member was limited to customers meanwhile
        raise CustomerNotFound
    times, timezone = default_posting_times(chosen.zone)
    added = ADD_CHANNEL.find(
        session,
        reach.organization_id,
        channel_id=ChannelId(new_id()),
        customer_id=chosen.customer_id,
        provider=made.slug,
        posting_times=to_json(times),
        timezone=timezone,
        **made.columns,
    )
    if added is None:  # the same account was added by another request meanwhile
        raise AlreadyConnected(str(made.columns["name"]), None)
    _record(session, connector, added)
    return added


def _renew(
    session: Session,
    reach: Reach,
    connector: Connector,
    channel_id: ChannelId,
    columns: Mapping[str, Any],
) -> ChannelSummary:
    renewed = queries.found(RENEW_CHANNEL.find(session, *reach, channel_id, **columns))
    _record(session, connector, renewed)
    return renewed


def _record(session: Session, connector: Connector, channel: ChannelSummary) -> None:
    recorded = {"provider": channel.provider}
    record(session, connector.as_actor(), Action.CHANNEL_CONNECTED, channel.id, after=recorded)


def _connected_before(known: KnownAccount) -> AppError:
    """Return the refusal of an account that the organization has connected; a stranger to that channel learns nothing of it."""
    return AlreadyConnected(known.name, known.id) if known.is_visible else AccountNotFree()


def _notify_renewed(
    session: Session, channel: ChannelSummary, made: _Made, user_id: UserId
) -> None:
    """Notify the team, so that nobody can take over a channel unnoticed."""
    user = FIND_USER_NAME.find(session, user_id)
    who = user.name if user else "Somebody"
    words = (
        f"{who} reconnected {channel.name} ({made.slug}), so Roost now posts there with new access."
    )
    before, now = _server_name(made.server_before), _server_name(made.server)
    if now and before and now != before:
        words += f" Its server changed from {before} to {now}."
    notify(
        session,
        channel.organization_id,
        NotificationKind.INFO,
        title=f"{channel.name} was reconnected",
        content=(
            f"{words} If none of you did this on purpose, delete the channel and change your "
            "passwords."
        ),
        customer_id=channel.customer_id,
    )


def _server_name(address: str | None) -> str | None:
    return urllib.parse.urlsplit(address).netloc if address else None


def _columns(organization_id: OrganizationId, slug: str, connection: Connection) -> dict[str, Any]:
    account: Account = connection.account
    details = json.dumps(dict(connection.details)) if connection.details else None
    return {
        **sealed_tokens(organization_id, connection.tokens, provider(slug).spec)._asdict(),
        "remote_id": account.remote_id,
        "details": seal(details, Purpose.CHANNEL, organization_id) if details else None,
        "named_host": provider(slug).spec.named_host(connection.details),
        "name": account.name or account.username or account.remote_id,
        "username": account.username,
        "picture_url": account.picture_url,
        "account_settings": to_json(dict(account.settings)),
    }


def _finished(channel: ChannelSummary, connector: Connector, return_url: str | None) -> Finished:
    """Add the pages to choose from. If they cannot be listed now, they can be requested later."""
    if not channel.needs_page:
        return Finished(channel, return_url=return_url)
    try:
        pages = list_pages(connector.reach, channel.id)
    except AppError as error:
        log.warning(
            "channel.pages_failed", extra={"channel_id": channel.id, "detail": error.message}
        )
        pages = ()
    state, sealed = new_secret(), _sealed_step(_Step.CHOOSE_PAGE, channel.organization_id)
    run(lambda session: _add_state_of(session, channel, connector, state, sealed))
    return Finished(channel, pages, page_state=state, return_url=return_url)


def _sealed_step(step: _Step, organization_id: OrganizationId) -> bytes:
    """Seal the data to keep after connecting. Do not call this in a transaction: it may need the key service."""
    remember: dict[str, Any] = {"provider": {}, "zone": "UTC", "browser": None, "step": step}
    return seal(json.dumps(remember), Purpose.CONNECTING, organization_id)


def _add_state_of(
    session: Session, channel: ChannelSummary, connector: Connector, state: str, remember: bytes
) -> None:
    """Store a state for an existing channel."""
    add = _adding_state(
        connector,
        state,
        remember,
        slug=channel.provider,
        uri=redirect_uri(channel.provider),
        reconnects=channel.id,
    )
    add(session)


def _with_pages(acting: Provider) -> CanListPages:
    if not isinstance(acting, CanListPages):
        raise NoPages(
            f"{acting.spec.name} has no pages to choose from. Connect the account itself."
        )
    return acting


def _refused(error: ProviderError, slug: str, step: str) -> AppError:
    """Log the platform's reason with the failed connection, and return the refusal."""
    log.warning(
        "channel.connect_failed",
        extra={
            "provider": slug,
            "step": step,
            "code": error.detail_code,
            "answer": error.evidence.as_json(),
        },
    )
    return refusal(error)


def _note(channel: ChannelSummary) -> None:
    log.info(
        "channel.connected",
        extra={
            "channel_id": channel.id,
            "organization_id": channel.organization_id,
            "provider": channel.provider,
            "needs_page": channel.needs_page,
        },
    )
