"""Does every statement over what belongs to customers look at the caller's customers, or is there a reason why not?

A statement without the condition shows a member who is limited to some customers what belongs to the others.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from shared.access.policy import MEDIA
from shared.core.ids import CustomerId
from shared.db.reach import WHOLE, in_reach
from shared.db.statement import NoRow, Sql, Statement, sql
from tests.database.test_statements import modules

TABLES = (
    "posts", "channels", "media", "media_variants", "channel_reports", "notifications", "reviews",
    "post_tags", "revisions",
)  # fmt: skip
_OVER = re.compile(rf"\b(?:from|join|update|into|using)\s+(?:{'|'.join(TABLES)})\b")

# Whose statements no caller's request leads to, or only after another one has found the rows.
MODULES = {
    "shared.channels.expiry": "the rate that renews tokens",
    "shared.channels.levels": "what the plan allows the organization as a whole",
    "shared.channels.revoke": "an organization that is erased",
    "shared.channels.sweep": "the sweep",
    "shared.channels.token_queries": "the token of a channel that was found before",
    "shared.erasure.queries": "an organization or a person that is erased",
    "shared.media.examine_again": "the queue that examines files",
    "shared.media.make_variants": "the queue that makes variants",
    "shared.media.sweep": "the sweep",
    "shared.posts.hints": "marks of what was found before",
    "shared.posts.sweep": "the sweep",
    "shared.publishing.claim_queries": "the publisher",
    "shared.publishing.failure_queries": "operators",
    "shared.publishing.housekeeping": "the sweep",
    "shared.publishing.late_queries": "the sweep",
    "shared.publishing.prepare_queries": "the publisher",
    "shared.publishing.record_queries": "the publisher",
    "shared.publishing.stage_queries": "the publisher",
    "shared.publishing.stuck": "the sweep",
    "shared.publishing.sweep_queries": "the sweep",
}
_FILES = "the routes of files are closed to callers with a limit"
_TWIN = "a caller with a limit reads by the statement of the same name with _of_customers"
STATEMENTS = {
    "range_json": _TWIN,
    "filtered_range_json": _TWIN,
    "range_of_posts": _TWIN,
    "latest_posts": _TWIN,
    "latest_posts_by_state": "a caller with a limit reads by latest_posts_of_customers",
    "latest_posts_by_tag": "a caller with a limit reads by latest_posts_of_customers",
    "list_public_posts": _TWIN,
    "add_channel": "the customer of the new channel was checked before",
    "keep_account_settings": "the publisher",
    "keep_named_host": "the publisher",
    "keep_report": "the channel was found before",
    "find_media": _FILES,
    "find_upload": _FILES,
    "list_media": _FILES,
    "list_media_by_number": _FILES,
    "find_files": "files that a post names by their ids",
    "add_upload": "a new file belongs to no customer",
    "finish_upload": _FILES,
    "refuse_upload": _FILES,
    "find_picture": "the queue that makes variants",
    "change_media": _FILES,
    "mark_media_deleted": _FILES,
    "count_stored": "the storage that all customers share",
    "add_notification": "it writes the customer",
    "add_notifications": "it writes the customers",
    "claim_these_mails": "emails are chosen by what their readers see",
    "claim_overdue_mails": "emails are chosen by what their readers see",
    "claim_digests": "emails are chosen by what their readers see",
    "mark_notifications_mailed": "emails are chosen by what their readers see",
    "give_back_counts": "posts that were found before",
    "settle_reviews": "posts that were found before",
    "decide_review": "a post that was found before",
    "last_decision": "a post that was found before",
}


class OfCustomers(NamedTuple):
    customers: list[CustomerId] | None


def without_condition() -> Iterator[tuple[str, str]]:
    """List the statements over these tables that do not look at the caller's customers: module and name."""
    seen: set[int] = set()
    for module in modules():
        for value in vars(module).values():
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, Statement) and id(one) not in seen and _OVER.search(one.text):
                    seen.add(id(one))
                    if not looks_at_customers(one):
                        yield module.__name__, one.name


def looks_at_customers(statement: Statement[..., Any]) -> bool:
    return (
        f"({WHOLE} or " in statement.text or "= any(cast(:customers as uuid[]))" in statement.text
    )


def test_every_statement_over_what_customers_own_looks_at_them_or_has_a_reason() -> None:
    found = dict.fromkeys(without_condition())
    unexplained = [one for one in found if one[0] not in MODULES and one[1] not in STATEMENTS]
    assert unexplained == []
    assert sorted(MODULES.keys() - {module for module, _ in found}) == []
    assert sorted(STATEMENTS.keys() - {name for _, name in found}) == []


def test_routes_of_files_are_closed_to_a_limit() -> None:
    """That is the reason why their statements look at no customers."""
    open_ones = [route for route, rule in MEDIA.items() if not rule.whole]
    assert open_ones == ["GET /media/storage"]


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        (sql("select 1 from posts where {reach}", reach=in_reach(sql("customer_id"))), True),
        (sql("select 1 from posts where :customers is null"), False),
    ],
)
def test_what_counts_as_the_condition(text: Sql, looks: bool) -> None:
    statement: Statement[..., NoRow] = Statement("one", text, params=OfCustomers, row=NoRow)
    assert looks_at_customers(statement) is looks


def test_each_twin_exists_and_looks_at_customers() -> None:
    named = {
        one.name: one
        for module in modules()
        for one in vars(module).values()
        if isinstance(one, Statement)
    }
    for name in (name for name, reason in STATEMENTS.items() if reason == _TWIN):
        assert "cast(:customers as uuid[])" in named[f"{name}_of_customers"].text
