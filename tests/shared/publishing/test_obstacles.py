"""What keeps a post from going out, step by step: what each step checks, and what it does then.

The table is the whole behavior: composing, preparing, staging and claiming, each beside every state that a post, its
channel, its organization and its platform can be in.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import text

from shared.core.errors import AppError
from shared.core.ids import ChannelId, PostId
from shared.core.reach import Reach
from shared.db.session import unit_of_work
from shared.organizations.models import Role
from shared.posts.compose import compose
from shared.posts.parts import Author
from shared.posts.schemas import ChannelPostIn, IntegrationIn, PartIn, PostDraft
from shared.publishing.prepare import prepare
from shared.publishing.run import publish_due
from shared.publishing.stage import stage_due
from shared.publishing.warm import is_warming
from tests.shared.publishing.world import PUBLISH, STAGE, World, a_thread

NEVER = timedelta(days=3)
ROOT, REPLY = 0, 1
_STAGED = """
    insert into stagings (id, organization_id, post_id, revision, generation, state, step, tries, lease_until, progress,
        error_message)
    select gen_random_uuid(), organization_id, id, 1, 1, '{state}', 1, 0, now() + interval '1 hour', '{{"ids": ["m"]}}',
        'Too many pixels.'
    from posts
"""
READY, REFUSED = _STAGED.format(state="ready"), _STAGED.format(state="failed")
PAUSED = "insert into provider_pauses (provider, until, reason) values ('keyless', now() + interval '10 minutes', '')"
ROOT_IS_OUT = (
    "update posts set state = 'publishing' where position = 0",
    "update posts set state = 'published', published_at = now(), due_at = null, release_id = 'r' where position = 0",
)
ROOT_FAILED = (
    "update posts set state = 'failed', due_at = null where position = 0",
    "update posts set state = 'queued' where position = 1",
)


@dataclass(frozen=True)
class Case:
    """A state of the world, and what each step does in it. `part` is the position of the part that is asked about."""

    changes: tuple[str, ...]
    compose: str
    prepare: str
    stage: str
    claim: str
    part: int = ROOT
    staging: str = READY


def channel(column: str) -> tuple[str, ...]:
    return (f"update channels set {column}",)


CASES: Mapping[str, Case] = {
    "nothing": Case((), "stored", "prepared", "moved", "sent"),
    "channel deleted": Case(
        channel("deleted_at = now()"),
        "channel_not_found", "told", "left", "failed channel_deleted",
    ),
    "channel disabled": Case(
        channel("disabled = true"),
        "refused channel_disabled", "told", "left", "failed channel_disabled",
    ),
    "channel disconnected": Case(
        channel("disconnected_at = now()"),
        "warned channel_disconnected", "told", "left", "failed channel_disconnected",
    ),
    "no page chosen": Case(
        channel("needs_page = true"),
        "refused channel_needs_page", "told", "left", "failed channel_needs_page",
    ),
    "plan ended": Case(
        ("update organizations set plan_ends_at = now()",),
        "stored", "told", "left", "failed plan_ended",
    ),
    "organization deleted": Case(
        ("update organizations set deleted_at = now()",),
        "stored", "told", "left", "failed organization_deleted",
    ),
    "platform paused": Case((PAUSED,), "stored", "left", "left", "waits 600"),
    "too late": Case(
        ("update posts set publish_at = publish_at - interval '2 days'",),
        "stored", "prepared", "moved", "failed too_late",
    ),
    "not due yet": Case(
        ("update posts set due_at = due_at + interval '100 seconds'",),
        "stored", "prepared", "moved", "waits 100",
    ),
    "part before missing": Case(
        ("update posts set deleted_at = now() where position = 0",),
        "stored", "prepared", "moved", "failed predecessor_missing", part=REPLY,
    ),
    "part before failed": Case(
        ROOT_FAILED, "stored", "prepared", "moved", "failed predecessor_failed", part=REPLY,
    ),
    "part before not out": Case((), "stored", "prepared", "moved", "left", part=REPLY),
    "part before out": Case(ROOT_IS_OUT, "stored", "prepared", "moved", "sent", part=REPLY),
    "media refused": Case(
        (), "stored", "prepared", "left", "failed staging_failed", staging=REFUSED
    ),
    "media not there": Case((), "stored", "prepared", "moved", "stages", staging=""),
    "media lapsed": Case(
        ("update stagings set expires_at = now()",), "stored", "prepared", "moved", "stages"
    ),
    "two at once": Case(
        (*channel("disabled = true, disconnected_at = now(), needs_page = true"), PAUSED),
        "refused channel_disabled channel_needs_page", "told", "left", "failed channel_disabled",
    ),
}  # fmt: skip


@dataclass
class Asked:
    """The part that a case is about, on a channel whose token is renewed when it is prepared."""

    world: World
    part_id: PostId
    channel_id: ChannelId
    author: Author

    def composes(self) -> str:
        with self.world.engine.begin() as connection:  # what its rules are does not matter here
            for table in ("channels", "provider_pauses"):
                connection.exec_driver_sql(f"update {table} set provider = 'bluesky'")
        entry = ChannelPostIn(
            integration=IntegrationIn(id=self.channel_id), value=[PartIn(content="Hello")]
        )
        try:
            with unit_of_work() as session:
                [created] = compose(
                    session, self.author, PostDraft(type="now", date=None, posts=[entry])
                )
        except AppError as error:
            codes = [problem.code for problem in error.problems]
            if codes == [error.code]:
                return error.code
            return " ".join(["refused", *codes])
        warned = [warning.code for warning in created.warnings]
        return " ".join(["warned", *warned]) if warned else "stored"

    def prepares(self) -> str:
        prepare(self.part_id, 1)
        if self._count("notifications"):
            return "told"
        paths = [request.url.path for request in self.world.platform.requests]
        return "prepared" if paths == ["/token"] else "left"

    def stages(self) -> str:
        stage_due(self.part_id, 1, deadline=time.monotonic() + 800)
        return "moved" if self.world.platform.requests else "left"

    def claims(self) -> str:
        publish_due(self.part_id, 1, deadline=time.monotonic() + 55)
        with self.world.engine.connect() as connection:
            state, code = connection.execute(
                text("select state, error_code from posts where id = :id"), {"id": self.part_id}
            ).one()
        if state == "failed":
            assert self._count("notifications") == 1
            return f"failed {code}"
        if self._count("attempts"):
            return "sent"
        assert state == "queued"
        sent = [held for held in self.world.messages if not is_warming(held.body)]
        if not sent:
            return "left"
        [held] = sent
        if held.queue == STAGE:
            return "stages"
        assert held.queue == PUBLISH
        return f"waits {held.at - self.world.now:.0f}"

    def _count(self, table: str) -> int:
        with self.world.engine.connect() as connection:
            return int(connection.execute(text(f"select count(*) from {table}")).scalar_one())


def asked(world: World, case: Case, *, due: str, staged: bool) -> Asked:
    root = a_thread(world, "keyless", due_in=NEVER, media=True)
    world.schedules.clear()
    with world.engine.begin() as connection:
        setup = (
            "update posts set media = (select media from posts where position = 0) where position = 1",
            f"update posts set publish_at = {due}",
            f"update posts set due_at = {due} where position = {case.part}",
            "update channels set refresh_token = 'old'::bytea, token_expires_at = now() + interval '1 minute'",
            case.staging if staged or case.staging == REFUSED else "",
            *case.changes,
        )
        for statement in filter(None, setup):
            connection.exec_driver_sql(statement)
        part_id = connection.execute(
            text("select id from posts where position = :position"), {"position": case.part}
        ).scalar_one()
    author = Author(Reach(root.organization_id), None, Role.OWNER)
    return Asked(world, part_id, root.channel_id, author)


STEPS: Mapping[str, tuple[Callable[[Asked], str], str, bool]] = {
    "compose": (Asked.composes, "now()", True),
    "prepare": (Asked.prepares, "now() + interval '5 minutes'", True),
    "stage": (Asked.stages, "now() + interval '5 minutes'", False),
    "claim": (Asked.claims, "now()", True),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", CASES)
def test_each_state_at_each_step(world: World, name: str, step: str) -> None:
    case = CASES[name]
    act, due, staged = STEPS[step]
    assert act(asked(world, case, due=due, staged=staged)) == getattr(case, step)
