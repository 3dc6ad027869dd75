"""Every SQL statement of publishing. Due times, leases and back-off are decided by the database's clock, in the statement itself."""

from sqlalchemy import TextClause, text

from shared.db.statement import sql
from shared.notifications.notify import notifying
from shared.posts.announce import MESSAGES, announcing
from shared.posts.hints import QUEUED_COLUMNS
from shared.posts.lifecycle import Hand, PostState, where_may_become
from shared.posts.obstacles import CROWDED, PREDECESSOR_FAILED, Step, first_in_sql
from shared.publishing.models import AttemptState
from shared.webhooks.models import Event

# A part with all that a decision about it needs. `doubt` of the generation lives on the attempt, not here: while
# an outcome is unknown the part stays `publishing` and cannot be claimed. A reply's time is its delay after the part
# before it, which may be days after the time of the thread. An edit gives a part its five tries again.
_CANDIDATE = """
    select
        p.id, p.organization_id, p.channel_id as channel_id, p.root_id, p.parent_id, p.position, p.revision, p.generation,
        p.content, p.media, r.settings, r.title, p.publish_at, p.due_at, p.created_at, p.delay_seconds,
        extract(epoch from p.due_at - now())::float8 as wait_seconds,
        extract(epoch from now() - greatest(p.publish_at, q.published_at + make_interval(secs => p.delay_seconds)))::float8
            as late_seconds,
        c.provider, c.remote_id, c.name as channel_name, c.username, c.access_token, c.refresh_token, c.details,
        c.named_host, c.account_settings, c.token_version, c.token_expires_at, c.disabled, c.needs_page, c.disconnected_at,
        c.disconnected_reason,
        c.deleted_at as channel_deleted_at,
        r.release_id as root_release_id, r.release_url as root_release_url, r.release_data as root_release_data,
        q.state as predecessor_state, q.release_id as parent_release_id, q.release_url as parent_release_url,
        q.release_data as parent_release_data,
        s.state as staging_state, s.progress as staged, s.error_code as staging_error_code,
        s.error_message as staging_error_message, s.expires_at <= now() as staging_expired,
        case when s.state = 'waiting' then extract(epoch from s.resume_at - now())::float8 end as staging_wait_seconds,
        extract(epoch from pause.until - now())::float8 as paused_seconds,
        o.plan_ends_at, o.deleted_at as organization_deleted_at,
        (select count(*) from attempts a where a.root_id = p.root_id and a.post_id = p.id
            and a.generation = p.generation and a.revision = p.revision and a.counts)
            as attempts_made,
        now() as now
    from posts p
    join posts r on r.id = p.root_id
    join channels c on c.id = p.channel_id
    join organizations o on o.id = p.organization_id
    left join posts q on q.root_id = p.root_id and q.position = p.position - 1 and q.deleted_at is null
    left join stagings s on s.post_id = p.id and s.revision = p.revision and s.generation = p.generation
    left join provider_pauses pause on pause.provider = c.provider and pause.until > now()
"""


# How long a part waits that is over a bound: one to three seconds, spread by a hash so that the waiting do not all return at once.
_TURN = "make_interval(secs => 1 + (hashtext(judged.id::text || now()::text) & 2147483647) % 3)"

# `posts/obstacles.py` says what is checked. The function that bounds an organization's tries locks only when there seems to be
# room, and counts again under the lock, so that claims at the same instant cannot share the last place.
CLAIM = text(f"""
    with candidate as (
        {_CANDIDATE}
        where p.id = :part_id and p.revision = :revision and p.state = 'queued' and p.deleted_at is null
            and p.due_at is not null
        for update of p
    ), judged as (
        select *, {first_in_sql(Step.CLAIM)} as verdict
        from candidate
    ), put_back as (
        update posts set due_at = now() + {_TURN}, enqueued_at = now(), error_code = '{CROWDED.verdict}',
            error_message = :crowded_message
        from judged where posts.id = judged.id and judged.verdict = '{CROWDED.verdict}'
        returning posts.id, extract(epoch from posts.due_at - now())::float8 as turn_seconds
    ), moved as (
        update posts set state = 'publishing', error_code = null, error_message = null, next_check_at = null
        from judged where posts.id = judged.id and judged.verdict is null
            and {where_may_become(PostState.PUBLISHING, by=Hand.PUBLISHER)}
        returning posts.id
    ), attempt as (
        insert into attempts (id, organization_id, post_id, root_id, channel_id, named_host, revision, generation,
            number, state, step, lease_until, counts)
        select cast(:attempt_id as uuid), judged.organization_id, judged.id, judged.root_id, judged.channel_id,
            judged.named_host, judged.revision, judged.generation, judged.attempts_made + 1, 'running', 1,
            now() + make_interval(secs => :lease_seconds), true
        from judged join moved on moved.id = judged.id
        returning id
    )
    select judged.*, attempt.id as attempt_id, judged.attempts_made + 1 as number, 1 as step,
        null::float8 as doubt_seconds, 0::float8 as attempt_seconds, null::jsonb as progress, false as accepted,
        put_back.turn_seconds
    from judged left join attempt on true left join put_back on true
""")  # noqa: S608, only constants of this file

# A continuation takes a place too. One that is over a bound waits for its turn, at the same step.
RESUME = text(f"""
    with asked as (
        select id, organization_id, named_host from attempts
        where id = :attempt_id and step = :step and state = 'waiting' and resume_at <= now()
        for update
    ), judged as (
        select id, coalesce({CROWDED.sql}, false) as is_crowded from asked
    ), put_back as (
        update attempts set resume_at = now() + {_TURN}
        from judged where attempts.id = judged.id and judged.is_crowded
    ), resumed as (
        update attempts set state = 'running', step = step + 1, resume_at = null,
            lease_until = now() + make_interval(secs => :lease_seconds)
        from judged where attempts.id = judged.id and not judged.is_crowded
        returning attempts.*
    ), candidate as (
        {_CANDIDATE}
        join resumed on resumed.post_id = p.id
        where p.state = 'publishing'
    )
    select candidate.*, resumed.id as attempt_id, resumed.number, resumed.step, resumed.progress,
        resumed.accepted,
        extract(epoch from now() - resumed.doubt_since)::float8 as doubt_seconds,
        extract(epoch from now() - resumed.started_at)::float8 as attempt_seconds
    from candidate join resumed on resumed.post_id = candidate.id
""")  # noqa: S608, only constants of this file

# How long until a continuation may run; no row: it is not waiting at that step any more.
RESUME_WAIT = text("""
    select extract(epoch from resume_at - now())::float8 as wait_seconds, post_id as id, revision, organization_id
    from attempts where id = :attempt_id and step = :step and state = 'waiting'
""")

MARK_SENDING = text("""
    update attempts set state = 'sending', sending_at = now()
    where id = :attempt_id and step = :step and state in ('running', 'sending') and lease_until > now()
    returning sending_at
""").execution_options(repeatable=True)

# What records a try: conditional on attempt, step and a live lease. No row: somebody else has taken over.
_HELD = (
    "id = :attempt_id and step = :step and state in ('running', 'sending') and lease_until > now()"
)

# Once an outcome is unknown, the evidence kept is that of the request which left it so, whatever is asked afterwards.
_EVIDENCE = """case when doubt_since is null then coalesce(cast(:evidence as jsonb), evidence)
            else coalesce(evidence, cast(:evidence as jsonb)) end"""

# One statement, and so one round trip: it records the release, sends the next part on its way, and notifies members and webhooks.
RECORD_RELEASED = text(f"""
    with finished as (
        update attempts set state = 'released', finished_at = now(), release_id = :release_id,
            release_url = :release_url, release_data = cast(:release_data as jsonb), resume_at = null, progress = null,
            error_code = null, error_message = null
        where {_HELD}
        returning post_id, root_id, revision, generation
    ), published as (
        update posts set state = 'published', published_at = now(), due_at = null, release_id = :release_id,
            release_url = :release_url, release_data = cast(:release_data as jsonb), error_code = null,
            error_message = null, next_check_at = null, updated_at = now()
        from finished where posts.id = finished.post_id and {where_may_become(PostState.PUBLISHED, by=Hand.PUBLISHER)}
        returning posts.*
    ), successor as (
        update posts set due_at = now() + make_interval(secs => posts.delay_seconds), armed_revision = null,
            enqueued_at = null, updated_at = now()
        from published
        where posts.root_id = published.root_id and posts.position = published.position + 1
            and posts.state = 'queued' and posts.deleted_at is null
        returning {QUEUED_COLUMNS}, jsonb_array_length(posts.media) > 0 as has_media
    ), {announcing("published", Event.PUBLISHED)},
    {notifying("published", sql("published.position = 0"))}
    select {MESSAGES},
        extract(epoch from published.published_at - published.publish_at)::float8 as late_seconds, successor.*
    from published left join successor on true
""")  # noqa: S608, only constants of this file

RECORD_WAITING = text(f"""
    update attempts set state = 'waiting', progress = cast(:progress as jsonb),
        resume_at = now() + make_interval(secs => :after_seconds), lease_until = now() + make_interval(secs => :after_seconds + 60),
        accepted = :accepted, sending_at = null,
        doubt_since = case when :unknown then coalesce(doubt_since, sending_at, started_at) else doubt_since end,
        error_code = :error_code, error_message = :error_message,
        evidence = {_EVIDENCE}
    where {_HELD}
    returning id, step, resume_at
""")  # noqa: S608, only constants of this file

# Nothing was created: the part goes back into the queue for `after_seconds` from now.
RECORD_RETRY = text(f"""
    with finished as (
        update attempts set state = 'refused', finished_at = now(), counts = :counts, sending_at = null,
            error_code = :error_code, error_message = :error_message, evidence = cast(:evidence as jsonb)
        where {_HELD}
        returning post_id
    )
    update posts set state = 'queued', due_at = now() + make_interval(secs => :after_seconds),
        armed_revision = null, enqueued_at = null, next_check_at = null, arm_count = arm_count + 1,
        error_code = :error_code, error_message = :error_message, updated_at = now()
    from finished where posts.id = finished.post_id and {where_may_become(PostState.QUEUED, by=Hand.PUBLISHER)}
    returning {QUEUED_COLUMNS}, jsonb_array_length(posts.media) > 0 as has_media
""")  # noqa: S608, only constants of this file


def _record_end(attempt_state: AttemptState, post_state: PostState) -> TextClause:
    return text(f"""
        with finished as (
            update attempts set state = '{attempt_state}', finished_at = now(), error_code = :error_code,
                error_message = :error_message, evidence = {_EVIDENCE}
            where {_HELD}
            returning post_id
        ), ended as (
            update posts set state = '{post_state}', due_at = null, error_code = :error_code,
                error_message = :error_message, updated_at = now()
            from finished where posts.id = finished.post_id
                and {where_may_become(post_state, by=Hand.PUBLISHER, only=PostState.PUBLISHING)}
            returning posts.*
        ), {announcing("ended", Event.FAILED)}
        select id, {MESSAGES} from ended
    """)  # noqa: S608, only constants of this file


RECORD_FAILED = _record_end(AttemptState.REFUSED, PostState.FAILED)
RECORD_UNCONFIRMED = _record_end(AttemptState.UNKNOWN, PostState.UNCONFIRMED)

_MAY_BE_REFUSED = where_may_become(PostState.FAILED, by=Hand.PUBLISHER, only=PostState.QUEUED)
# A queued part that will never go out. The claim found it a moment ago; since then a member may have sent it again.
FAIL_QUEUED = text(f"""
    with ended as (
        update posts set state = 'failed', due_at = null, error_code = :error_code, error_message = :error_message,
            updated_at = now()
        where id = :part_id and revision = :revision and generation = :generation and {_MAY_BE_REFUSED}
        returning posts.*
    ), {announcing("ended", Event.FAILED)}
    select id, {MESSAGES} from ended
""")  # noqa: S608, only constants

# The rest of a thread whose part failed; `predecessor_failed` says why. Webhooks are notified of the one that failed by itself.
FAIL_SUCCESSORS = text(f"""
    update posts set state = 'failed', due_at = null, error_code = '{PREDECESSOR_FAILED.verdict}',
        error_message = :error_message, updated_at = now()
    where root_id = :root_id and position > :position and {_MAY_BE_REFUSED} and deleted_at is null
""")  # noqa: S608, only constants of this file

# A holder that comes back too late leaves what it knows on its own row; reconcile decides.
KEEP_LATE_RELEASE = text("""
    update attempts set release_id = :release_id, release_url = :release_url,
        release_data = cast(:release_data as jsonb)
    where id = :attempt_id and release_id is null
""")

# Of the account, through whichever channel: other organizations may have connected it too, or ours once before.
KNOWN_RELEASES = text("""
    select p.release_id from posts p join channels c on c.id = p.channel_id
    where c.provider = :provider and c.remote_id = :remote_id
        and p.id <> :part_id and p.release_id = any(cast(:release_ids as text[]))
""")

# --- prepare ---------------------------------------------------------------------------------------------------

# The on-the-second message is recorded in the statement that decides it is due; no row: the firing is stale.
PREPARE = text(f"""
    with candidate as (
        {_CANDIDATE}
        where p.id = :part_id and p.revision = :revision and p.state = 'queued' and p.deleted_at is null
            and p.due_at is not null
    )
    select candidate.*, candidate.wait_seconds <= :threshold_seconds as near,
        exists (select 1 from posts t where t.root_id = candidate.root_id and t.deleted_at is null
            and jsonb_array_length(t.media) > 0) as thread_has_media,
        {first_in_sql(Step.PREPARE)} as verdict
    from candidate
""")  # noqa: S608, only constants of this file

# What a part waits for that is not its time: its attempt's next step, or its staging's. At most one of each.
WAITS = text("""
    select a.id as attempt_id, a.step, a.post_id as id, a.revision, a.organization_id, extract(epoch from a.resume_at - now())::float8 as wait_seconds
    from attempts a
    where a.post_id = :part_id and a.revision = :revision and a.finished_at is null and a.state = 'waiting'
        and a.resume_at <= now() + make_interval(secs => :threshold_seconds)
    union all
    select null, s.step, s.post_id, s.revision, s.organization_id, extract(epoch from s.resume_at - now())::float8
    from stagings s join posts p on p.id = s.post_id and p.revision = s.revision and p.generation = s.generation
    where s.post_id = :part_id and s.revision = :revision and s.state = 'waiting'
        and p.state = 'queued' and p.deleted_at is null
        and s.resume_at <= now() + make_interval(secs => :threshold_seconds)
""")

MARK_ENQUEUED = text("""
    update posts set enqueued_at = now()
    where id = :part_id and revision = :revision and state = 'queued'
""").execution_options(repeatable=True)

UNMARK_ENQUEUED = text("""
    update posts set enqueued_at = null where id = any(cast(:ids as uuid[])) and state = 'queued'
""")

# --- stage -----------------------------------------------------------------------------------------------------

# Who may move a part's media now. One holder at a time; what is ready, and has not lapsed, is not moved again.
CLAIM_STAGING = text(f"""
    with candidate as (
        {_CANDIDATE}
        where p.id = :part_id and p.revision = :revision and p.deleted_at is null
            and p.state = 'queued' and jsonb_array_length(p.media) > 0
    ), judged as (
        select *, {first_in_sql(Step.STAGE)} as verdict from candidate
    ), held as (
        insert into stagings (id, organization_id, post_id, revision, generation, state, step, tries, lease_until, progress)
        select cast(:staging_id as uuid), organization_id, id, revision, generation, 'running', 1, 1,
            now() + make_interval(secs => :lease_seconds), '{{}}'
        from judged where verdict is null
        on conflict (post_id, revision, generation) do update set
            state = 'running', step = stagings.step + 1, tries = stagings.tries + 1, resume_at = null,
            lease_until = now() + make_interval(secs => :lease_seconds), updated_at = now(),
            progress = case when stagings.state = 'ready' then '{{}}' else stagings.progress end,
            expires_at = null
        where (stagings.state = 'running' and stagings.lease_until <= now())
            or (stagings.state = 'waiting' and stagings.resume_at <= now())
            or (stagings.state = 'ready' and stagings.expires_at <= now())
        returning id, step, tries, progress
    )
    select candidate.*, held.id as staging_id, held.step, held.tries, held.progress
    from candidate join held on true
""")  # noqa: S608, only constants of this file

# Claims of one organization's stagings come one after the other, so that each counts those before it.
LOCK_STAGINGS = text("""
    select organization_id, pg_advisory_xact_lock(hashtextextended('staging:' || organization_id::text, 0))
    from posts where id = :part_id
""")

# A row only where the organization moves as many parts' media as it may: how long this part waits for its turn.
STAGINGS_ARE_CROWDED = text("""
    select 5 + (hashtext(cast(:part_id as text) || now()::text) & 2147483647) % 11 as turn_seconds
    where (
        select count(*) from stagings
        where organization_id = :organization_id and state = 'running' and lease_until > now()
    ) >= :most
""")

# A holder that reads the next range still moves them. No row: somebody else has taken over.
RENEW_STAGING = text("""
    update stagings set lease_until = now() + make_interval(secs => :lease_seconds), updated_at = now()
    where id = :staging_id and step = :step and state = 'running'
    returning id
""").execution_options(repeatable=True)

REPLIES_WITH_MEDIA = text("""
    select id, organization_id, revision from posts
    where root_id = :root_id and position > 0 and revision = :revision and deleted_at is null
        and state in ('queued', 'draft') and jsonb_array_length(media) > 0
    order by position
""")

KEEP_STAGING = text("""
    update stagings set state = cast(:state as text), progress = cast(:progress as jsonb), updated_at = now(),
        resume_at = case when cast(:state as text) = 'waiting' then now() + make_interval(secs => :after_seconds) end,
        lease_until = now() + make_interval(secs => :lease_seconds), expires_at = cast(:expires_at as timestamptz),
        tries = case when :progressed then 0 else tries end,
        error_code = :error_code, error_message = :error_message
    where id = :staging_id and step = :step and state = 'running'
    returning id, step, resume_at, (
        select extract(epoch from p.due_at - now())::float8 from posts p
        where p.id = stagings.post_id and p.state = 'queued'
    ) as wait_seconds
""")

# --- reconcile -------------------------------------------------------------------------------------------------

# Queued and not armed at its revision: the arming after a commit failed, or the process stopped before it. The code that raises
# a revision clears the mark, so the few that lack it have an index of their own, beside hundreds of thousands that wait.
TAKE_UNARMED = text(f"""
    with unarmed as (
        select id from posts
        where state = 'queued' and deleted_at is null and due_at is not null
            and armed_revision is null
            and updated_at < now() - make_interval(secs => :grace_seconds)
            and (next_check_at is null or next_check_at <= now())
        order by due_at limit :page_size
        for update skip locked
    )
    update posts set arm_count = arm_count + 1, next_check_at = now() + interval '1 minute'
    from unarmed where posts.id = unarmed.id
    returning {QUEUED_COLUMNS},
        exists (select 1 from posts t where t.root_id = posts.root_id and t.deleted_at is null
            and jsonb_array_length(t.media) > 0) as has_media
""")  # noqa: S608, only constants of this file

# Due within three minutes, and nobody has sent the on-the-second message: its schedule never fired.
TAKE_UNSENT = text("""
    with unsent as (
        select id from posts
        where state = 'queued' and deleted_at is null and enqueued_at is null and armed_revision = revision
            and due_at <= now() + interval '3 minutes' and due_at > now() - interval '20 seconds'
        order by due_at limit :page_size
        for update skip locked
    )
    update posts set enqueued_at = now()
    from unsent where posts.id = unsent.id
    returning posts.id, posts.organization_id, posts.revision, posts.root_id, posts.position,
        extract(epoch from posts.due_at - now())::float8 as wait_seconds,
        exists (select 1 from posts t where t.root_id = posts.root_id and t.deleted_at is null
            and jsonb_array_length(t.media) > 0) as has_media
""")

# Overdue. Sent again at growing intervals: a minute, then as long again as it is late, at most an hour. One whose platform is
# paused is not sent; it is looked at when it is late enough for a notification, and when the pause is over. Either way the row
# leaves the stretch of the index that this reads, so that many overdue parts cost no more than those of one page. A reply is
# late by its own time; null: the part before it is not there yet.
TAKE_OVERDUE = text("""
    with overdue as (
        select p.id, pause.until as paused_until,
            extract(epoch from now() - case when p.position = 0 then p.publish_at else (
                select q.published_at + make_interval(secs => p.delay_seconds) from posts q where q.root_id = p.root_id and q.position = p.position - 1
            ) end)::float8 as late_seconds
        from posts p join channels c on c.id = p.channel_id
        left join provider_pauses pause on pause.provider = c.provider and pause.until > now()
        where p.state = 'queued' and p.deleted_at is null and p.due_at is not null
            and greatest(p.due_at, p.next_check_at) <= now() - interval '20 seconds'
        order by greatest(p.due_at, p.next_check_at) limit :page_size
        for update of p skip locked
    )
    update posts set
        enqueued_at = case when overdue.paused_until is null then now() else posts.enqueued_at end,
        next_check_at = case
            when overdue.paused_until is null
                then now() + least(interval '1 hour', greatest(interval '1 minute', (now() - posts.due_at) / 2))
            when overdue.late_seconds < :late_seconds
                then least(overdue.paused_until, now() + make_interval(secs => :late_seconds - overdue.late_seconds))
            else overdue.paused_until end - interval '20 seconds'
    from overdue where posts.id = overdue.id
    returning posts.id, posts.organization_id, posts.revision, posts.generation, posts.root_id, posts.position,
        overdue.late_seconds, overdue.paused_until,
        extract(epoch from overdue.paused_until - now())::float8 as paused_seconds,
        (select c.name from channels c where c.id = posts.channel_id) as channel_name,
        jsonb_array_length(posts.media) > 0 as has_media
""")

# Attempts whose holder vanished. The lease is taken over for a minute, so that of two reconcilers one decides.
TAKE_LOST = text("""
    with lost as (
        select id from attempts
        where finished_at is null and state in ('running', 'sending') and lease_until <= now()
        order by lease_until limit :page_size
        for update skip locked
    )
    update attempts set lease_until = now() + interval '1 minute', step = step + 1
    from lost where attempts.id = lost.id
    returning attempts.id as attempt_id, attempts.step, attempts.number, attempts.progress, attempts.accepted,
        attempts.post_id, attempts.state = 'sending' as sent,
        extract(epoch from now() - coalesce(attempts.doubt_since, case when attempts.state = 'sending' then attempts.sending_at end))::float8
            as doubt_seconds,
        extract(epoch from now() - attempts.started_at)::float8 as attempt_seconds
""")

LOST_PARTS = text(f"""
    {_CANDIDATE}
    where p.id = any(cast(:ids as uuid[]))
""")

TAKE_WAITING = text("""
    with forgotten as (
        select id from attempts
        where finished_at is null and state = 'waiting' and resume_at <= now() - interval '20 seconds' and lease_until <= now()
        order by lease_until limit :page_size
        for update skip locked
    )
    update attempts set lease_until = now() + interval '1 minute'
    from forgotten where attempts.id = forgotten.id
    returning attempts.id as attempt_id, attempts.step, attempts.post_id as id, attempts.revision, attempts.organization_id
""")

# Of a holder that vanished the lease stays as it is, lapsed: who comes next claims by that. So that each is sent once a
# minute, and a page does not hold the same again, `updated_at` is moved instead.
TAKE_STAGINGS = text("""
    with forgotten as (
        select s.id from stagings s join posts p on p.id = s.post_id
        where (
                (s.state = 'running' and s.updated_at <= now() - interval '1 minute')
                or (s.state = 'waiting' and s.resume_at <= now() - interval '20 seconds')
            )
            and s.lease_until <= now() and p.state = 'queued' and p.deleted_at is null
            and p.revision = s.revision and p.generation = s.generation
        order by s.lease_until limit :page_size
        for update of s skip locked
    )
    update stagings set updated_at = now(),
        lease_until = case when state = 'waiting' then now() + interval '1 minute' else lease_until end
    from forgotten where stagings.id = forgotten.id
    returning stagings.post_id as id, stagings.revision, stagings.organization_id
""")

# A holder came back too late with a release. Its part is published, unless somebody is at it right now, or another part
# has that release, or is about to have it.
ADOPT_LATE = text(f"""
    with late as (
        select a.id, a.post_id, a.release_id, a.release_url, a.release_data
        from attempts a join posts p on p.id = a.post_id
        where a.release_id is not null and a.state <> 'released' and a.finished_at is not null
            and {where_may_become(PostState.PUBLISHED, by=Hand.SWEEP, state="p.state")} and p.generation = a.generation
            and not exists (
                select 1 from posts other
                where other.channel_id = p.channel_id and other.release_id = a.release_id and other.id <> p.id
            )
            and not exists (
                select 1 from attempts twin
                where twin.release_id is not null and twin.state <> 'released' and twin.finished_at is not null
                    and twin.channel_id = a.channel_id and twin.release_id = a.release_id and twin.id < a.id
            )
        order by a.id limit :page_size
        for update of a, p skip locked
    ), finished as (
        update attempts set state = 'released' from late where attempts.id = late.id returning attempts.id
    ), published as (
        update posts set state = 'published', published_at = now(), due_at = null, release_id = late.release_id,
            release_url = late.release_url, release_data = late.release_data, error_code = null,
            error_message = null, updated_at = now()
        from late where posts.id = late.post_id
        returning posts.*
    ), successor as (
        update posts set due_at = now() + make_interval(secs => posts.delay_seconds), armed_revision = null,
            enqueued_at = null, next_check_at = null, updated_at = now() - interval '1 minute'
        from published
        where posts.root_id = published.root_id and posts.position = published.position + 1
            and posts.state = 'queued' and posts.deleted_at is null
        returning posts.id
    ), {announcing("published", Event.PUBLISHED)}
    select id, organization_id, root_id, generation, array(
        select messages.id from messages where messages.organization_id = published.organization_id) as messages
    from published
""")  # noqa: S608, only constants

# Late by what the member chose, whenever the next try is: a root by its time, a reply by when it is due. Of each at most
# `most_counted` are counted, in the order of their index.
LATE_PARTS = text("""
    select (
        select count(*) from (
            select 1 from posts
            where state = 'queued' and deleted_at is null and due_at is not null and position = 0
                and publish_at <= now() - interval '5 minutes'
            order by publish_at limit :most_counted
        ) roots
    ) + (
        select count(*) from (
            select 1 from posts
            where state = 'queued' and deleted_at is null and due_at is not null and position > 0
                and due_at <= now() - interval '5 minutes'
            order by due_at limit :most_counted
        ) replies
    )
""")

CROWDED_PARTS = text("""
    select count(*) from posts
    where state = 'queued' and deleted_at is null and due_at is not null and error_code = 'crowded'
""")

# When a part was to be there: a root's time, a reply's own.
_PROMISED = """greatest(p.publish_at, (
            select q.published_at + make_interval(secs => p.delay_seconds) from posts q where q.root_id = p.root_id and q.position = p.position - 1
        ))"""

# Late because the platform limits the account: what is queued for the limit's end. Each is taken once for a generation.
TAKE_LIMITED = text(f"""
    with held as (
        select p.id, greatest(pause.until, p.due_at) as until
        from posts p join channels c on c.id = p.channel_id
        left join provider_pauses pause on pause.provider = c.provider and pause.until > now()
        where p.state = 'queued' and p.deleted_at is null and p.due_at is not null and p.error_code = 'rate_limited'
            and p.told_generation is distinct from p.generation and p.publish_at <= now() - make_interval(secs => :late_seconds)
            and {_PROMISED} <= now() - make_interval(secs => :late_seconds)
            and p.due_at > now() + interval '1 minute'
        order by p.publish_at limit :page_size
        for update of p skip locked
    )
    update posts set told_generation = posts.generation
    from held where posts.id = held.id
    returning posts.id, posts.organization_id, posts.root_id, posts.generation, held.until,
        (select c.name from channels c where c.id = posts.channel_id) as channel_name
""")  # noqa: S608, only constants of this file

# The same for what may be there already, and waits for the limit's end to be asked about. `notices.limited` makes the key.
LIMITED_ATTEMPTS = text(f"""
    select p.id, p.organization_id, p.root_id, p.generation, c.name as channel_name, a.resume_at as until
    from attempts a join posts p on p.id = a.post_id join channels c on c.id = p.channel_id
    where a.finished_at is null and a.state = 'waiting' and a.error_code = 'rate_limited'
        and a.resume_at > now() + interval '1 minute'
        and {_PROMISED} <= now() - make_interval(secs => :late_seconds)
        and not exists (
            select 1 from notifications n
            where n.organization_id = p.organization_id and n.dedupe_key = 'limited:' || p.id || ':' || p.generation
        )
    order by a.resume_at limit :page_size
""")  # noqa: S608, only constants of this file

# Late because other posts of the organization are on their way to the same server. Each is taken once for a generation.
TAKE_CROWDED = text(f"""
    with held as (
        select p.id from posts p
        where p.state = 'queued' and p.deleted_at is null and p.due_at is not null and p.error_code = 'crowded'
            and p.told_generation is distinct from p.generation and p.publish_at <= now() - make_interval(secs => :late_seconds)
            and {_PROMISED} <= now() - make_interval(secs => :late_seconds)
        order by p.publish_at limit :page_size
        for update of p skip locked
    )
    update posts set told_generation = posts.generation
    from held where posts.id = held.id
    returning posts.id, posts.organization_id, posts.root_id, posts.revision,
        (select c.named_host from channels c where c.id = posts.channel_id) as host
""")  # noqa: S608, only constants of this file
