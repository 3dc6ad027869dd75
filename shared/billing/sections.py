"""The sections of a plan: what each limits, and on which actions. `plans.py` has the numbers.

A flag is allowed or not, and the caller's plan answers it without a statement. A level is what exists now, and is counted. A
flow is what was used in the organization's billing month, and has a counter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Section(StrEnum):
    """What a plan includes or limits."""

    CHANNELS = "channels"
    POSTS_PER_MONTH = "posts_per_month"
    TEAM_MEMBERS = "team_members"
    WEBHOOKS = "webhooks"
    STORAGE = "storage"
    IMAGES_PER_MONTH = "images_per_month"
    VIDEOS_PER_MONTH = "videos_per_month"
    PUBLIC_API = "public_api"
    AUTOPOST = "autopost"
    IMPORT_FROM_CHANNELS = "import_from_channels"
    AI = "ai"
    IMAGE_GENERATOR = "image_generator"
    COMMUNITY_FEATURES = "community_features"
    FEATURED = "featured"


class Action(StrEnum):
    """What a request does in a section."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"


class Kind(StrEnum):
    """How a section is checked."""

    FLAG = "flag"
    LEVEL = "level"
    FLOW = "flow"


_NEW = frozenset({Action.CREATE})
_CHANGES = frozenset({Action.CREATE, Action.UPDATE})
_ALL = frozenset(Action)


@dataclass(frozen=True, slots=True)
class Bound:
    """How a section is checked, and on which actions.

    All other actions are free, so that what a plan no longer includes can still be seen and deleted. `words` completes "The
    plan includes ..." for a flag and "The plan includes 5 ..." for a number.
    """

    kind: Kind
    words: str
    actions: frozenset[Action] = _NEW


SECTIONS: Mapping[Section, Bound] = {
    Section.CHANNELS: Bound(Kind.LEVEL, "channels"),
    Section.POSTS_PER_MONTH: Bound(Kind.FLOW, "posts a month"),
    Section.TEAM_MEMBERS: Bound(Kind.LEVEL, "team members"),
    Section.WEBHOOKS: Bound(Kind.LEVEL, "webhooks"),
    Section.STORAGE: Bound(Kind.LEVEL, "bytes of storage"),
    Section.IMAGES_PER_MONTH: Bound(Kind.FLOW, "generated images a month"),
    Section.VIDEOS_PER_MONTH: Bound(Kind.FLOW, "generated videos a month"),
    Section.PUBLIC_API: Bound(Kind.FLAG, "the public API", _ALL),
    Section.AUTOPOST: Bound(Kind.FLAG, "posts from feeds", _CHANGES),
    Section.IMPORT_FROM_CHANNELS: Bound(Kind.FLAG, "importing the posts of channels"),
    Section.AI: Bound(Kind.FLAG, "writing with AI"),
    Section.IMAGE_GENERATOR: Bound(Kind.FLAG, "the image generator"),
    Section.COMMUNITY_FEATURES: Bound(Kind.FLAG, "community features", _CHANGES),
    Section.FEATURED: Bound(Kind.FLAG, "being featured", _CHANGES),
}
"""Every section."""

FLAGS = frozenset(section for section, bound in SECTIONS.items() if bound.kind is Kind.FLAG)
"""The sections that a plan has or does not have."""


def binds(section: Section, action: Action) -> bool:
    """Return whether a plan is checked for an action in a section."""
    return action in SECTIONS[section].actions
