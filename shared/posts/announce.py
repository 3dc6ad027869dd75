"""Adds webhook messages about posts in the statement that changes them.

with written as (update posts ... returning posts.*), {announcing("written", Event.UPDATED)}
select written.id, {MESSAGES} from written

The body is an array with one post in its new state, in the format that programs know for published posts.
"""

from shared.db.statement import Sql, literals, sql
from shared.posts.lifecycle import PostState, wire_state
from shared.providers.wire_names import wire_name_of
from shared.webhooks.announce import messages_of_events
from shared.webhooks.models import Event

MESSAGES = sql("array(select id from messages) as messages")
"""The ids of the added messages, for `shared.webhooks.announce.send_after_commit`."""

MAX_CONTENT = 50_000
"""The maximum length of a post's HTML in a message: more than any platform accepts, and a limit for a page of the log."""

_STATES = Sql(" ".join(f"when '{state}' then '{wire_state(state)}'" for state in PostState))
_BODY = sql(
    """
    jsonb_build_object(
        'id', announced.id, 'content', left(announced.content, {max_content}),
        'publishDate', to_char(announced.publish_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'releaseURL', announced.release_url, 'state', case announced.state {states} end,
        'integration', jsonb_build_object('id', c.id, 'name', c.name, 'providerIdentifier', {wire_name},
            'picture', c.picture_url, 'type', 'social'))
    || case when length(announced.content) > {max_content} then '{"contentTruncated": true}' else '{}' end::jsonb
    """,
    max_content=MAX_CONTENT,
    states=_STATES,
    wire_name=Sql(wire_name_of("c.provider")),
)
# Any part can fail. `id` is the part's, `rootId` the post's; `code` distinguishes unconfirmed from failed.
_BODY_OF_FAILURE = sql(
    """
    {body} || jsonb_build_object('rootId', announced.root_id, 'code', announced.state, 'errorCode', announced.error_code,
        'error', announced.error_message)
    """,
    body=_BODY,
)
_EVERY_PART, _ROOTS = sql("true"), sql("announced.position = 0")


def announcing(rows: str, event: Event) -> Sql:
    """Return the CTEs `events` and `messages`, which report the posts in the CTE `rows` in their new state.

    `rows` has the columns of `posts`. Of failures, every part's is announced; of the rest, only the roots'. Where nobody
    listens, nothing is made.
    """
    if event is Event.FAILED:
        return _announcing(rows, literals(event), _BODY_OF_FAILURE, _EVERY_PART)
    return _announcing(rows, literals(event), _BODY, _ROOTS)


def announcing_written(rows: str) -> Sql:
    """Return the same for whole stored posts; a post at its first revision was created."""
    event = sql(
        "case announced.revision when 1 then {created} else {updated} end",
        created=literals(Event.CREATED),
        updated=literals(Event.UPDATED),
    )
    return _announcing(rows, event, _BODY, _ROOTS)


def _announcing(rows: str, event: Sql, body: Sql, which: Sql) -> Sql:
    # Materialized: all receivers of an event get the same id.
    return sql(
        """
        events as materialized (
            select announced.organization_id, announced.channel_id, cast({event} as text) as event,
                gen_random_uuid() as event_id, jsonb_build_array({body}) as body
            from {rows} announced join channels c on c.id = announced.channel_id
            where {which} and exists (
                select 1 from webhooks w
                where w.organization_id = announced.organization_id and w.deleted_at is null and w.disabled_at is null)
        ), {messages}
        """,
        event=event,
        body=body,
        rows=Sql(rows),
        which=which,
        messages=messages_of_events(),
    )
