"""Ends sessions, API keys, consents and links, by one table of what each event ends.

Whatever ends access calls `end_access` or `end_seat`, in the transaction of the event, and shows what ended. The event's own
change comes first: signing in and making a key lock rows that it changes, so nothing is left over.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy.orm import Session

from shared.apps.queries import REVOKE_CONSENTS_OF
from shared.audit.entries import NOBODY, Action, Actor, Entry
from shared.audit.record import record, record_all
from shared.core.ids import ApiKeyId, GrantId, OrganizationId, SessionId, UserId
from shared.core.log import log
from shared.identity.challenges import void_challenges
from shared.identity.device_queries import FORGET_DEVICES_OF
from shared.identity.errors import NoSuchPerson
from shared.identity.models import ChallengeKind
from shared.identity.queries import LOCK_USER
from shared.identity.session_queries import REVOKE_SESSIONS_OF
from shared.identity.sessions import end_other_sessions
from shared.organizations.queries import REVOKE_KEYS_OF


class Event(StrEnum):
    """Why access ends."""

    CREDENTIAL_CHANGED = "credential_changed"
    RESET_BY_MAIL = "reset_by_mail"
    ADDRESS_PROVEN = "address_proven"
    ADDRESS_UNDONE = "address_undone"
    RECOVERED = "recovered"
    ACCOUNT_DELETED = "account_deleted"


@dataclass(frozen=True, slots=True)
class Ends:
    """What an event ends.

    `own_session`: also the session in which it happens. `programs`: keys, consents and device logins. `undoing`: also the links that
    undo a change of address.
    """

    own_session: bool
    programs: bool
    undoing: bool = False


ENDS = {
    # Programs too if the person asks for it.
    Event.CREDENTIAL_CHANGED: Ends(own_session=False, programs=False),
    Event.RESET_BY_MAIL: Ends(own_session=True, programs=True),
    Event.ADDRESS_PROVEN: Ends(own_session=True, programs=True),
    Event.ADDRESS_UNDONE: Ends(own_session=True, programs=True, undoing=True),
    Event.RECOVERED: Ends(own_session=True, programs=True),
    Event.ACCOUNT_DELETED: Ends(own_session=True, programs=True, undoing=True),
}
"""What each event ends.

Links that were mailed before end with every one, except those that stop a recovery; most leave those that undo a change of address.
Devices that were remembered need the second factor again.
"""


@dataclass(frozen=True, slots=True)
class EndedKey:
    """An API key that was revoked."""

    id: ApiKeyId
    name: str
    organization_id: OrganizationId


@dataclass(frozen=True, slots=True)
class EndedConsent:
    """A consent that was revoked; with `is_device`, it was a program on one of the person's computers."""

    id: GrantId
    name: str
    organization_id: OrganizationId
    is_device: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """What an event has ended."""

    sessions: int = 0
    keys: tuple[EndedKey, ...] = ()
    consents: tuple[EndedConsent, ...] = ()


def end_access(
    session: Session,
    event: Event,
    user_id: UserId,
    *,
    own_session: SessionId | None = None,
    with_programs: bool = False,
    by: Actor = NOBODY,
) -> Ended:
    """End what an event ends for a person, record it and list it.

    `own_session` is the session in which it happens. `with_programs`: the person asks to end programs too. `by` is the request in
    which they do it.
    """
    ends = ENDS[event]
    kept_links = [] if ends.undoing else [ChallengeKind.UNDO_EMAIL]
    void_challenges(session, user_id, keep=[*kept_links, ChallengeKind.STOP_RECOVERY])
    FORGET_DEVICES_OF.run(session, user_id)
    kept = None if ends.own_session else own_session
    sessions = REVOKE_SESSIONS_OF.run(session, user_id, kept)
    ended = Ended(sessions=sessions)
    if ends.programs or with_programs:
        ended = Ended(sessions, *_end_programs(session, None, user_id))
    _record(session, by.as_user(user_id, own_session), event, ended)
    _log(ended, event, user_id)
    return ended


def end_sessions_of(session: Session, operator: Actor, user_id: UserId) -> int:
    """End all sessions of a person, as an operator of the server does, and return how many there were.

    Raises:
        NoSuchPerson: there is no such account.
    """
    if LOCK_USER.find(session, user_id) is None:
        raise NoSuchPerson
    ended = end_other_sessions(session, operator, user_id, None)
    _log(Ended(ended), "operator", user_id)
    return ended


def end_seat(
    session: Session,
    organization_id: OrganizationId,
    user_id: UserId,
    *,
    keep_keys: Sequence[ApiKeyId] = (),
) -> Ended:
    """End what a person has in an organization that removes or demotes them, except the keys in `keep_keys`, and list it."""
    ended = Ended(0, *_end_programs(session, organization_id, user_id, keep_keys))
    _log(ended, "seat", user_id)
    return ended


def _end_programs(
    session: Session,
    organization_id: OrganizationId | None,
    user_id: UserId,
    keep_keys: Sequence[ApiKeyId] = (),
) -> tuple[tuple[EndedKey, ...], tuple[EndedConsent, ...]]:
    keys = REVOKE_KEYS_OF.all(session, organization_id, user_id, list(keep_keys))
    consents = REVOKE_CONSENTS_OF.all(session, organization_id, user_id)
    return (
        tuple(EndedKey(row.id, row.name, row.organization_id) for row in keys),
        tuple(
            EndedConsent(row.id, row.name, row.organization_id, is_device=bool(row.device))
            for row in consents
        ),
    )


def _record(session: Session, person: Actor, event: Event, ended: Ended) -> None:
    """Record what ended: sessions for the person's account, keys and consents for their organizations."""
    account = replace(person, organization_id=None)
    if ended.sessions:
        after = {"reason": event}
        record(session, account, Action.ACCOUNT_SESSIONS_ENDED, person.person, after=after)
    entries: dict[OrganizationId, list[Entry]] = defaultdict(list)
    for key in ended.keys:
        entries[key.organization_id].append(Entry(Action.API_KEY_REVOKED, key.id))
    for consent in ended.consents:
        entries[consent.organization_id].append(Entry(Action.GRANT_REVOKED, consent.id))
    for organization_id, of_organization in entries.items():
        record_all(session, account.in_organization(organization_id), of_organization)


def _log(ended: Ended, event: str, user_id: UserId) -> None:
    log.info(
        "access.ended",
        extra={
            "event": event,
            "user_id": str(user_id),
            "sessions": ended.sessions,
            "keys": len(ended.keys),
            "consents": len(ended.consents),
        },
    )
