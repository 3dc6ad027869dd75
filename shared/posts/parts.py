"""The value objects of posts: stored and new parts, changes, and authors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from shared.audit.entries import Actor
from shared.billing.plans import Allowances
from shared.billing.usage import allowances_of_nobody
from shared.core.ids import ChannelId, GroupId, OrganizationId, PostId, UserId
from shared.core.reach import Reach
from shared.organizations.models import Role
from shared.posts.approval import ReviewStatus, ReviewStep, Right
from shared.posts.hints import Queued
from shared.posts.lifecycle import PostState, Review
from shared.posts.models import CreationMethod


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A stored part, locked until the transaction ends. Deleted ones are included, because their position keeps their id.

    `counted_period` is the billing month in which the post is counted; only its root has one. `review_steps` are the steps of
    the post's latest request, `approved_steps` those whose approval counts, `waits_for` the one that is not decided yet.
    """

    id: PostId
    root_id: PostId
    channel_id: ChannelId
    group_id: GroupId
    position: int
    state: PostState
    content: str
    media: list[dict[str, Any]]
    settings: dict[str, Any]
    title: str | None
    publish_at: datetime
    due_at: datetime | None
    delay_seconds: int
    revision: int
    generation: int
    arm_count: int
    armed_revision: int | None
    enqueued_at: datetime | None
    error_message: str | None
    counted_period: date | None
    is_deleted: bool
    review: Review
    review_steps: list[str] | None
    approved_steps: list[str]
    waits_for: str | None

    @property
    def review_status(self) -> ReviewStatus:
        """Where the post stands with its approval; of a root."""
        return ReviewStatus(
            self.review,
            frozenset(map(ReviewStep, self.review_steps or ())),
            frozenset(map(ReviewStep, self.approved_steps)),
        )

    @property
    def has_reviews(self) -> bool:
        """Whether an approval counts or is waited for."""
        return bool(self.approved_steps or self.waits_for)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPart:
    """A part to store. `publish_at` None means now, by the database's clock."""

    id: PostId
    channel_id: ChannelId
    group_id: GroupId
    root_id: PostId
    parent_id: PostId | None
    position: int
    state: PostState
    review: Review
    content: str
    media: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any]
    title: str | None
    content_hash: str
    publish_at: datetime | None
    delay_seconds: int
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """A change for the history: `changes` is `{field: [before, after]}`."""

    root_id: PostId
    revision: int
    action: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Author:
    """The author of a change, what they may see, what the plan allows, and the interface.

    `right` says whether what they schedule waits for approval. `actor` is the author for the audit log.
    """

    reach: Reach
    user_id: UserId | None
    role: Role
    method: CreationMethod = CreationMethod.UNKNOWN
    actor: Actor = field(default_factory=Actor)
    allowances: Allowances = field(default_factory=allowances_of_nobody)
    right: Right = field(default_factory=Right)

    @property
    def organization_id(self) -> OrganizationId:
        """Return the organization of the posts."""
        return self.reach.organization_id


TWINS_WITHIN = timedelta(hours=24)
"""A post with the same content on the same channel is a twin if its time is no further away than this."""


@dataclass(frozen=True, slots=True)
class WrittenRoot:
    """A stored root. `wait_seconds` is None if nothing is due; `twin_id` is a post with the same content."""

    id: PostId
    revision: int
    arm_count: int
    publish_at: datetime
    due_at: datetime | None
    wait_seconds: float | None
    has_media: bool
    twin_id: PostId | None

    def queued(self, organization_id: OrganizationId) -> Queued | None:
        """Return the data for arming; None if nothing is due."""
        if self.due_at is None or self.wait_seconds is None:
            return None
        return Queued(
            id=self.id,
            organization_id=organization_id,
            revision=self.revision,
            arm_count=self.arm_count,
            due_at=self.due_at,
            wait_seconds=self.wait_seconds,
            has_media=self.has_media,
        )
