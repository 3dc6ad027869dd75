"""How attempts to publish look to super admins on the wire."""

from typing import Literal

from pydantic import Field

from shared.core.ids import AttemptId, ChannelId, OrganizationId, PostId
from shared.core.page import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from shared.core.wire import WireModel, WireTime


class PeriodQuery(WireModel):
    """A period of at most 92 days; the last 30 days unless it is given."""

    since: WireTime | None = Field(default=None, alias="from", description="Included.")
    until: WireTime | None = Field(default=None, alias="to", description="Not included.")


class FailureQuery(PeriodQuery):
    """Which failures to list; a filter that is left out excludes nothing."""

    platform: str | None = Field(
        default=None, max_length=100, description="A platform's name.", examples=["mastodon"]
    )
    email: str | None = Field(
        default=None, max_length=320, description="The address of the post's author."
    )
    unknown_first: bool = Field(
        default=False, description="Attempts whose outcome is unknown come first."
    )
    cursor: str | None = Field(default=None, max_length=500)
    limit: int = Field(default=DEFAULT_PAGE_SIZE, ge=1, le=MAX_PAGE_SIZE)


class StatsQuery(PeriodQuery):
    """What to count."""

    unknown_only: bool = Field(
        default=False, description="Count only attempts whose outcome is unknown."
    )


class Failure(WireModel):
    """An attempt that published nothing, or whose outcome is unknown."""

    id: AttemptId
    at: WireTime
    platform: str | None = Field(description="Null if the channel was deleted for good.")
    state: Literal["refused", "unknown"]
    code: str | None
    message: str | None = Field(description="The sentence that the organization's members see.")
    organization_id: OrganizationId
    organization_name: str
    channel_id: ChannelId
    post_id: PostId
    email: str | None = Field(description="The address of the post's author.")


class FailureList(WireModel):
    """A page of failures, newest first."""

    errors: list[Failure]
    next_cursor: str | None


class PlatformFailures(WireModel):
    platform: str
    refused: int
    unknown: int


class PlatformFailureList(WireModel):
    """The platforms with failures in the period, most failures first."""

    platforms: list[PlatformFailures]


class PlatformStats(WireModel):
    """How the attempts at one platform ended."""

    platform: str
    attempts: int
    released: int
    refused: int
    unknown: int


class CodeStats(WireModel):
    """How often one error ended an attempt at one platform."""

    platform: str
    code: str
    attempts: int


class Stats(WireModel):
    """The finished attempts of a period: by platform, and by error, most frequent first."""

    since: WireTime = Field(alias="from")
    until: WireTime = Field(alias="to")
    platforms: list[PlatformStats]
    codes: list[CodeStats]


class QueueState(WireModel):
    """Whether due posts are published. With `error`, the status is 503."""

    status: Literal["success", "error"]
    message: str
