"""Every SQL statement about channels, their tokens and connections under way."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    TextClause,
    Update,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.channels.connection import (
    OPENED_CHANNEL,
    OpenedChannel,
    OpenedChannelRow,
    get_opened_channel,
)
from shared.channels.connectors import Connector, still_may_connect
from shared.channels.errors import (
    ChannelNotFound,
    ChannelsNotFound,
    CustomerNameTaken,
    CustomerNotFound,
)
from shared.channels.models import Channel, ChannelReport, Customer, OAuthState
from shared.core.ids import ChannelId, OrganizationId
from shared.db.statement import Statement, sql
from shared.db.types import AnyRow
from shared.identity.models import User
from shared.organizations.models import Organization
from shared.providers.base import Series

LEASE = timedelta(seconds=60)
STATE_LIFETIME = timedelta(hours=1)
REPORT_LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ChannelSummary:
    """A channel without its tokens: what members see, and what composing looks at."""

    id: ChannelId
    organization_id: OrganizationId
    customer_id: UUID | None
    customer_name: str | None
    provider: str
    remote_id: str
    root_remote_id: str | None
    name: str
    username: str | None
    picture_url: str | None
    token_expires_at: datetime | None
    disabled: bool
    needs_page: bool
    disconnected_at: datetime | None
    disconnected_reason: str | None
    posting_times: list[dict[str, Any]]
    timezone: str
    account_settings: dict[str, Any]
    additional_settings: list[dict[str, Any]]
    created_at: datetime


# Columns of the table, not of the mapped class: what is read by them are rows, without the costs of mapping.
_C = Channel.__table__.c
_CUSTOMER_NAME = (
    select(Customer.__table__.c.name)
    .where(Customer.__table__.c.id == _C.customer_id)
    .correlate(Channel.__table__)
    .scalar_subquery()
    .label("customer_name")
)
_FACTS = tuple(
    _CUSTOMER_NAME if name == "customer_name" else _C[name]
    for name in ChannelSummary.__dataclass_fields__
)
# Built once: building a SELECT of twenty columns takes longer than everything else a short list costs this process.
_OF_ORGANIZATION = select(*_FACTS).where(
    _C.organization_id == bindparam("organization_id"), _C.deleted_at.is_(None)
)
_LISTED = _OF_ORGANIZATION.order_by(_C.created_at, _C.id)
_LISTED_OF_CUSTOMER = _LISTED.where(_C.customer_id == bindparam("customer_id"))
_BY_ID = _OF_ORGANIZATION.where(_C.id == bindparam("channel_id"))
_BY_IDS = _OF_ORGANIZATION.where(_C.id.in_(bindparam("ids", expanding=True)))
_BY_NAME = _OF_ORGANIZATION.where(
    _C.provider == bindparam("provider"),
    or_(_C.remote_id == bindparam("remote_id"), _C.id.cast(Text) == bindparam("id_text")),
).limit(1)


def list_channels(
    session: Session, organization_id: UUID, *, customer_id: UUID | None = None
) -> Sequence[ChannelSummary]:
    """List the organization's channels, or those of one of its customers, oldest first."""
    values = {"organization_id": organization_id}
    if customer_id:
        rows = session.execute(_LISTED_OF_CUSTOMER, {**values, "customer_id": customer_id})
    else:
        rows = session.execute(_LISTED, values)
    return [ChannelSummary(*row) for row in rows]


def get_channel(session: Session, organization_id: UUID, channel_id: UUID) -> ChannelSummary:
    """Return one channel.

    Raises:
        ChannelNotFound: the organization has no such channel, or deleted it.
    """
    values = {"organization_id": organization_id, "channel_id": channel_id}
    row = session.execute(_BY_ID, values).one_or_none()
    if row is None:
        raise ChannelNotFound
    return ChannelSummary(*row)


def get_channels(
    session: Session, organization_id: UUID, ids: Collection[UUID]
) -> Mapping[UUID, ChannelSummary]:
    """Return the channels of `ids` by id, in one statement.

    Raises:
        ChannelsNotFound: some of them are not in the organization, or deleted; the error names them.
    """
    values = {"organization_id": organization_id, "ids": list(ids)}
    rows = session.execute(_BY_IDS, values)
    found: dict[UUID, ChannelSummary] = {row.id: ChannelSummary(*row) for row in rows}
    if missing := set(ids) - found.keys():
        raise ChannelsNotFound(missing)
    return found


def find_channel_by_name(
    session: Session, organization_id: UUID, provider: str, name: str
) -> ChannelSummary | None:
    """Find a platform's channel by our id or by the account's id there."""
    values = {
        "organization_id": organization_id,
        "provider": provider,
        "remote_id": name,
        "id_text": name.lower(),
    }
    row = session.execute(_BY_NAME, values).one_or_none()
    return ChannelSummary(*row) if row else None


class OneChannel(NamedTuple):
    organization_id: UUID
    channel_id: UUID


OPEN = Statement(
    "open_channel",
    sql(
        """
        select {opened_channel} from channels c
        where c.organization_id = :organization_id and c.id = :channel_id and c.deleted_at is null
        """,
        opened_channel=OPENED_CHANNEL,
    ),
    params=OneChannel,
    row=OpenedChannelRow,
)
"""Find a channel with its sealed tokens."""


class RefreshOfChannel(NamedTuple):
    organization_id: UUID
    channel_id: UUID
    sent_version: int
    lease_seconds: float


@dataclass(frozen=True, slots=True, repr=False)
class RefreshRow(OpenedChannelRow):
    refresh_lease_until: datetime


CLAIM_REFRESH = Statement(
    "claim_refresh",
    sql(
        """
        update channels c set refresh_lease_until = now() + make_interval(secs => :lease_seconds), updated_at = now()
        where c.organization_id = :organization_id and c.id = :channel_id and c.deleted_at is null
            and c.token_version = :sent_version and c.disconnected_at is null
            and (c.refresh_lease_until is null or c.refresh_lease_until <= now())
        returning {opened_channel}, c.refresh_lease_until
        """,
        opened_channel=OPENED_CHANNEL,
    ),
    params=RefreshOfChannel,
    row=RefreshRow,
)
"""Take the lease on renewing a channel's token; no row: it is renewed, or being renewed, or the channel is gone."""


class DueRefreshes(NamedTuple):
    """`seconds` are the horizons of the platforms `slugs`; the page begins after a position, or with the first."""

    slugs: list[str]
    seconds: list[float]
    without_refresh: float
    longest: float
    after_time: datetime | None
    after_id: UUID | None
    limit: int


@dataclass(frozen=True, slots=True, repr=False)
class ExpiringRow(OpenedChannelRow):
    seconds_left: float
    paused: bool


# `longest` lets the index on the expiry do the work; the line below it is the rule.
DUE_REFRESHES = Statement(
    "due_refreshes",
    sql(
        """
        select {opened_channel},
            extract(epoch from c.token_expires_at - now())::float8 as seconds_left,
            exists (select 1 from provider_pauses pause where pause.provider = c.provider and pause.until > now()) as paused
        from channels c
        join unnest(cast(:slugs as text[]), cast(:seconds as float8[])) as horizon(slug, seconds)
            on horizon.slug = c.provider
        where c.deleted_at is null and c.disconnected_at is null
            and c.token_expires_at < now() + make_interval(secs => cast(:longest as float8))
            and c.token_expires_at < now() + make_interval(secs => greatest(
                horizon.seconds, case when c.refresh_token is null then cast(:without_refresh as float8) else 0 end))
            and (c.refresh_lease_until is null or c.refresh_lease_until <= now())
            and (cast(:after_time as timestamptz) is null
                or (c.token_expires_at, c.id) > (cast(:after_time as timestamptz), cast(:after_id as uuid)))
        order by c.token_expires_at, c.id
        limit :limit
        """,
        opened_channel=OPENED_CHANNEL,
    ),
    params=DueRefreshes,
    row=ExpiringRow,
)
"""List a page of the tokens that end within their platform's horizon, of all organizations, the first to end first."""


def get_channel_to_open(session: Session, organization_id: UUID, channel_id: UUID) -> OpenedChannel:
    """Return a channel with its sealed tokens.

    Raises:
        ChannelNotFound: the organization has no such channel, or deleted it.
    """
    row = OPEN.find(session, organization_id, channel_id)
    if row is None:
        raise ChannelNotFound
    return get_opened_channel(row)


def change_channel(
    session: Session, organization_id: UUID, channel_id: UUID, changes: Mapping[str, Any]
) -> ChannelSummary:
    """Set columns of a channel and return it as it is then.

    Raises:
        ChannelNotFound: the organization has no such channel, or deleted it.
    """
    row = (
        session.execute(
            _change(organization_id, channel_id)
            .where(Channel.deleted_at.is_(None))
            .values(**changes)
            .returning(*_FACTS)
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise ChannelNotFound
    return ChannelSummary(**row)


def delete_channel(session: Session, organization_id: UUID, channel_id: UUID) -> ChannelSummary:
    """Mark a channel as deleted and forget its tokens; what was published through it keeps pointing at it.

    Raises:
        ChannelNotFound: the organization has no such channel, or deleted it already.
    """
    forgotten = {"access_token": b"", "refresh_token": None, "details": None}
    return change_channel(
        session, organization_id, channel_id, {"deleted_at": func.now(), **forgotten}
    )


# Customers


def list_customers(session: Session, organization_id: UUID) -> Sequence[AnyRow]:
    """List the organization's customers, by name."""
    return session.execute(
        select(*_CUSTOMER)
        .where(Customer.organization_id == organization_id)
        .order_by(func.lower(Customer.name), Customer.id)
    ).all()


def count_customers(session: Session, organization_id: UUID) -> int:
    """Count the organization's customers."""
    counted = select(func.count()).where(Customer.organization_id == organization_id)
    return session.scalar(counted) or 0


def add_customer(session: Session, organization_id: UUID, name: str) -> AnyRow | None:
    """Add a customer and return its row; None where there is one of that name."""
    return session.execute(
        insert(Customer)
        .values(organization_id=organization_id, name=name)
        .on_conflict_do_nothing(index_elements=[Customer.organization_id, Customer.name])
        .returning(*_CUSTOMER)
    ).one_or_none()


def find_customer_by_name(session: Session, organization_id: UUID, name: str) -> UUID | None:
    """Find a customer, who stays until the transaction ends."""
    found: UUID | None = session.scalar(
        _lasting_customer(organization_id).where(Customer.name == name)
    )
    return found


def hold_customer(session: Session, organization_id: UUID, customer_id: UUID) -> None:
    """Check that there is such a customer until the transaction ends.

    Raises:
        CustomerNotFound: the organization has no such customer.
    """
    lasting = _lasting_customer(organization_id).where(Customer.id == customer_id)
    if session.scalar(lasting) is None:
        raise CustomerNotFound


def rename_customer(
    session: Session, organization_id: UUID, customer_id: UUID, name: str
) -> AnyRow:
    """Rename a customer.

    Raises:
        CustomerNotFound: the organization has no such customer.
        CustomerNameTaken: another customer has that name.
    """
    renamed = (
        update(Customer)
        .where(Customer.organization_id == organization_id, Customer.id == customer_id)
        .values(name=name)
        .returning(*_CUSTOMER)
    )
    try:
        with session.begin_nested():
            row = session.execute(renamed).one_or_none()
    except IntegrityError as error:
        raise CustomerNameTaken(name) from error
    if row is None:
        raise CustomerNotFound
    return row


def delete_customer(session: Session, organization_id: UUID, customer_id: UUID) -> None:
    """Delete a customer; its channels stay, and are nobody's then.

    Raises:
        CustomerNotFound: the organization has no such customer.
    """
    gone = session.scalar(
        delete(Customer)
        .where(Customer.organization_id == organization_id, Customer.id == customer_id)
        .returning(Customer.id)
    )
    if gone is None:
        raise CustomerNotFound


# Numbers


def find_report(
    session: Session, organization_id: UUID, subject_id: UUID, days: int
) -> Sequence[Series] | None:
    """Find the numbers that a platform reported for a channel or a post within the hour."""
    kept = session.scalar(
        select(ChannelReport.series).where(
            ChannelReport.organization_id == organization_id,
            ChannelReport.subject_id == subject_id,
            ChannelReport.days == days,
            ChannelReport.expires_at > func.now(),
        )
    )
    if kept is None:
        return None
    return [
        Series(label, [(day, number) for day, number in points], average)
        for label, points, average in kept
    ]


def keep_report(
    session: Session,
    organization_id: UUID,
    subject_id: UUID,
    days: int,
    told: Sequence[Series],
) -> None:
    """Keep what a platform told for an hour."""
    kept = insert(ChannelReport).values(
        organization_id=organization_id,
        subject_id=subject_id,
        days=days,
        series=[[one.label, [list(point) for point in one.points], one.average] for one in told],
        expires_at=func.now() + REPORT_LIFETIME,
    )
    fresh = {name: kept.excluded[name] for name in ("series", "expires_at")}
    key = (ChannelReport.organization_id, ChannelReport.subject_id, ChannelReport.days)
    session.execute(kept.on_conflict_do_update(index_elements=key, set_=fresh))


def delete_expired_reports(session: Session) -> None:
    """Delete the numbers that are not returned any more."""
    session.execute(delete(ChannelReport).where(ChannelReport.expires_at <= func.now()))


# Connecting


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """The channel that an account is or was. `is_in_use`: posts can go out through it."""

    id: ChannelId
    name: str
    is_deleted: bool
    needs_page: bool

    @property
    def is_in_use(self) -> bool:
        """Whether the channel exists and its connection is complete; one whose page is not chosen yet publishes nothing."""
        return not self.is_deleted and not self.needs_page


def lock_account(
    session: Session, organization_id: UUID, provider: str, remote_id: str
) -> KnownAccount | None:
    """Find and lock the row of an account, the living one before the last deleted one."""
    row = session.execute(
        select(Channel.id, Channel.name, Channel.deleted_at, Channel.needs_page)
        .where(
            Channel.organization_id == organization_id,
            Channel.provider == provider,
            Channel.remote_id == remote_id,
        )
        .order_by(Channel.deleted_at.desc().nulls_first())
        .limit(1)
        .with_for_update()
    ).one_or_none()
    if row is None:
        return None
    return KnownAccount(ChannelId(row.id), row.name, row.deleted_at is not None, row.needs_page)


def find_user_name(session: Session, user_id: UUID) -> str | None:
    """Find a user's name, or their address if they have none."""
    called = func.coalesce(func.nullif(User.name, ""), User.email)
    found: str | None = session.scalar(select(called).where(User.id == user_id))
    return found


def renew_channel(
    session: Session, organization_id: UUID, channel_id: UUID, values: Mapping[str, Any]
) -> ChannelSummary:
    """Give a channel a new connection, wherever it was: deleted, disconnected, or fine."""
    fresh = {
        "token_version": Channel.token_version + 1,
        "refresh_lease_until": None,
        "disconnected_at": None,
        "disconnected_reason": None,
        "disabled": and_(Channel.disabled, Channel.deleted_at.is_(None)),
        "deleted_at": None,
    }
    row = session.execute(
        _change(organization_id, channel_id).values(**values, **fresh).returning(*_FACTS)
    ).mappings()
    return ChannelSummary(**row.one())


def keep_account_settings(
    session: Session, organization_id: UUID, channel_id: UUID, account_settings: Mapping[str, Any]
) -> None:
    """Replace what is stored of the channel's server."""
    session.execute(
        _change(organization_id, channel_id).values(account_settings=dict(account_settings))
    )


def keep_named_host(
    session: Session, organization_id: UUID, channel_id: UUID, named_host: str
) -> None:
    """Store the host of a channel that was connected before hosts were stored."""
    session.execute(_change(organization_id, channel_id).values(named_host=named_host))


def add_channel(
    session: Session, organization_id: UUID, values: Mapping[str, Any]
) -> ChannelSummary | None:
    """Add a channel; None where the same account was added meanwhile, whose channel stays as it is."""
    row = (
        session.execute(
            insert(Channel)
            .values(organization_id=organization_id, **values)
            .on_conflict_do_nothing(
                index_elements=[Channel.organization_id, Channel.provider, Channel.remote_id],
                index_where=Channel.deleted_at.is_(None),
            )
            .returning(*_FACTS)
        )
        .mappings()
        .one_or_none()
    )
    return ChannelSummary(**row) if row else None


def add_state(session: Session, organization_id: UUID, values: Mapping[str, Any]) -> None:
    """Remember a connection under way for an hour."""
    session.execute(
        insert(OAuthState).values(
            organization_id=organization_id, expires_at=func.now() + STATE_LIFETIME, **values
        )
    )


@dataclass(frozen=True, slots=True)
class PendingConnection:
    """A connection under way. `remember` is sealed; `again` is the channel that is connected again."""

    state: str
    organization_id: OrganizationId
    organization_name: str
    organization_since: datetime
    connector: Connector
    provider: str
    redirect_uri: str
    remember: bytes = field(repr=False)
    return_url: str | None
    again: ChannelSummary | None


def find_state(session: Session, state: str, provider: str) -> PendingConnection | None:
    """Read a connection under way without using it up. The state is what proves the right to it.

    None also if the member who began may no longer connect channels, or the channel to connect again was deleted.
    """
    row = (
        session.execute(
            select(
                *(column.label(f"state_{column.name}") for column in OAuthState.__table__.columns),
                Organization.name.label("organization_name"),
                Organization.created_at.label("organization_since"),
                *_FACTS,
            )
            .join(Organization, Organization.id == OAuthState.organization_id)
            .outerjoin(
                Channel,
                and_(
                    Channel.id == OAuthState.reconnects,
                    Channel.organization_id == OAuthState.organization_id,
                    Channel.deleted_at.is_(None),
                ),
            )
            .where(*_is_alive(state, provider), Organization.deleted_at.is_(None))
        )
        .mappings()
        .one_or_none()
    )
    if row is None or (row["state_reconnects"] and row["id"] is None):
        return None  # the channel to connect again was deleted meanwhile
    facts = {name: row[name] for name in ChannelSummary.__dataclass_fields__}
    return PendingConnection(
        state=row["state_state"],
        organization_id=row["state_organization_id"],
        organization_name=row["organization_name"],
        organization_since=row["organization_since"],
        connector=Connector(
            row["state_organization_id"],
            row["state_user_id"],
            session_id=row["state_session_id"],
            impersonated_by=row["state_impersonated_by"],
            api_key_id=row["state_api_key_id"],
            grant_id=row["state_grant_id"],
        ),
        provider=row["state_provider"],
        redirect_uri=row["state_redirect_uri"],
        remember=row["state_remember"],
        return_url=row["state_return_url"],
        again=ChannelSummary(**facts) if row["id"] else None,
    )


def use_state(session: Session, state: str, provider: str) -> bool:
    """Use up a connection under way: of two who try at once, one gets True.

    False also if the member who began may no longer connect channels.
    """
    used = session.execute(
        delete(OAuthState).where(*_is_alive(state, provider)).returning(OAuthState.state)
    )
    return used.one_or_none() is not None


def delete_expired_states(session: Session) -> int:
    """Delete the connections that nobody finished in time; return how many."""
    gone = session.execute(
        delete(OAuthState).where(OAuthState.expires_at <= func.now()).returning(OAuthState.state)
    )
    return len(gone.all())


# Tokens


def claim_refresh(
    session: Session, organization_id: UUID, channel_id: UUID, *, sent_version: int
) -> tuple[OpenedChannel, datetime] | None:
    """Take the lease on renewing a channel's token, and return the channel with the end of the lease.

    None: the token was renewed already, somebody else holds the lease, or the channel is disconnected or gone.
    """
    row = CLAIM_REFRESH.find(
        session,
        organization_id=organization_id,
        channel_id=channel_id,
        sent_version=sent_version,
        lease_seconds=LEASE.total_seconds(),
    )
    return (get_opened_channel(row), row.refresh_lease_until) if row else None


@dataclass(frozen=True, slots=True)
class TokenStatus:
    """How a channel's token stands. `disconnected_reason` is None while the channel is connected."""

    token_version: int
    disconnected_reason: str | None


def get_token_status(session: Session, organization_id: UUID, channel_id: UUID) -> TokenStatus:
    """Return how a channel's token stands.

    Raises:
        ChannelNotFound: the organization has no such channel, or deleted it.
    """
    row = session.execute(
        select(Channel.token_version, Channel.disconnected_at, Channel.disconnected_reason).where(
            Channel.organization_id == organization_id,
            Channel.id == channel_id,
            Channel.deleted_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        raise ChannelNotFound
    reason = row.disconnected_reason or "" if row.disconnected_at else None
    return TokenStatus(row.token_version, reason)


def store_tokens(
    session: Session,
    organization_id: UUID,
    channel_id: UUID,
    *,
    sent_version: int,
    values: Mapping[str, Any],
) -> int | None:
    """Store renewed tokens unless somebody stored others since; return the new version.

    A verdict on the old token that came in meanwhile is lifted: the new one is good.
    """
    return session.execute(
        _at_version(organization_id, channel_id, sent_version)
        .values(
            **values,
            token_version=Channel.token_version + 1,
            refresh_lease_until=None,
            disconnected_at=None,
            disconnected_reason=None,
        )
        .returning(Channel.token_version)
    ).scalar_one_or_none()


def release_refresh(
    session: Session, organization_id: UUID, channel_id: UUID, *, lease: datetime
) -> None:
    """Give a lease back that ends at `lease`; somebody else's stays."""
    session.execute(
        _change(organization_id, channel_id)
        .where(Channel.refresh_lease_until == lease)
        .values(refresh_lease_until=None)
    )


def disconnect_channel(
    session: Session, organization_id: UUID, channel_id: UUID, *, token_version: int, reason: str
) -> ChannelSummary | None:
    """Note that the member must connect again; None when the verdict was on an old token, or is known already."""
    row = (
        session.execute(
            _at_version(organization_id, channel_id, token_version)
            .where(Channel.disconnected_at.is_(None))
            .values(
                disconnected_at=func.now(), disconnected_reason=reason, refresh_lease_until=None
            )
            .returning(*_FACTS)
        )
        .mappings()
        .one_or_none()
    )
    return ChannelSummary(**row) if row else None


@dataclass(frozen=True, slots=True)
class ExpiringToken:
    """A channel whose token ends soon. `seconds_left` is by the database's clock, negative once it has ended.

    `paused`: its platform has asked our whole application to wait.
    """

    channel: OpenedChannel
    expires_at: datetime
    seconds_left: float
    paused: bool


def due_refreshes(
    session: Session,
    horizons: Mapping[str, timedelta],
    *,
    without_refresh: timedelta,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[ExpiringToken]:
    """List the next page of tokens, of all organizations, that end within their platform's horizon, first to end first.

    `without_refresh` is the horizon of channels that hold no refresh token. Channels that somebody is renewing at the
    moment are left out.
    """
    seconds = {slug: ahead.total_seconds() for slug, ahead in horizons.items()}
    without = without_refresh.total_seconds()
    rows = DUE_REFRESHES.all(
        session,
        slugs=list(seconds),
        seconds=list(seconds.values()),
        without_refresh=without,
        longest=max(without, *seconds.values()),
        after_time=after[0] if after else None,
        after_id=after[1] if after else None,
        limit=limit,
    )
    return [
        ExpiringToken(get_opened_channel(row), row.token_expires_at, row.seconds_left, row.paused)
        for row in rows
        if row.token_expires_at is not None
    ]


_CUSTOMER = (Customer.id, Customer.name)
_STILL_MAY_CONNECT = text(still_may_connect(OAuthState.__tablename__))


def _lasting_customer(organization_id: UUID) -> Select[Any]:
    return (
        select(Customer.id)
        .where(Customer.organization_id == organization_id)
        .with_for_update(read=True, key_share=True)
    )


def _change(organization_id: UUID, channel_id: UUID) -> Update:
    return update(Channel).where(
        Channel.organization_id == organization_id, Channel.id == channel_id
    )


def _at_version(organization_id: UUID, channel_id: UUID, version: int) -> Update:
    return _change(organization_id, channel_id).where(
        Channel.deleted_at.is_(None), Channel.token_version == version
    )


def _is_alive(state: str, provider: str) -> tuple[ColumnElement[bool] | TextClause, ...]:
    return (
        OAuthState.state == state,
        OAuthState.provider == provider,
        OAuthState.expires_at > func.now(),
        _STILL_MAY_CONNECT,
    )


class GivenIds(NamedTuple):
    organization_id: OrganizationId
    ids: list[UUID]


class IdRow(NamedTuple):
    id: UUID


FIND_UNKNOWN = Statement(
    "find_unknown_channels",
    sql("""
        select given.id from unnest(cast(:ids as uuid[])) as given(id)
        where not exists (
            select 1 from channels c
            where c.id = given.id and c.organization_id = :organization_id and c.deleted_at is null)
    """),
    params=GivenIds,
    row=IdRow,
)
"""List those of the ids that are no channels of the organization."""


def find_unknown_channels(
    session: Session, organization_id: OrganizationId, ids: Sequence[UUID]
) -> set[UUID]:
    """Return those of the ids that are no channels of the organization."""
    return {row.id for row in FIND_UNKNOWN.all(session, organization_id, list(ids))}
