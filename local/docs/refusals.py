"""Writes `docs/refusals.md`, every refusal that a member can meet, from the code that raises them.

python -m local.docs.refusals            write the page
python -m local.docs.refusals --check    fail if the page does not match the code
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from local.docs.found_refusals import Notification, Refusal, found_in_code, notifications
from shared.core import sentences
from shared.public_api.wording import RULES
from shared.web import v1

PAGE = Path(__file__).resolve().parents[2] / "docs" / "refusals.md"

_HEAD = """# Refusals

Made from the code by `make docs`; change the sentences there. Every refusal that a member or a program can meet: its stable
`code`, its HTTP status, what it says and what to do. The text of a refusal is the third column followed by the fourth. Where
the fourth is in *italics*, the text does not say it. Words in braces are filled in.

Our own API answers with problem details (RFC 9457): `detail` is the sentence, `errors` lists the refused fields, each with its
`path`, `code` and `message`. The public API uses [the words of its contract](#the-public-apis-own-words) where that has any.
"""
_TABLE = "| code | status | what it says | what to do |\n| --- | --- | --- | --- |\n"
_AREAS = {
    "shared/core": "Any value",
    "shared/web": "Any request",
    "shared/db": "Any request",
    "shared/aws": "Any request",
    "shared/access": "Who is calling",
    "functions/identity": "Accounts",
    "shared/identity": "Accounts",
    "shared/organizations": "The organization",
    "shared/billing": "Plans",
    "shared/notifications": "Notifications",
    "shared/apps": "Third-party apps",
    "functions/apps": "Third-party apps",
    "shared/media": "Files",
    "shared/webhooks": "Webhooks",
    "shared/channels": "Channels",
    "shared/posts": "Posts",
    "shared/posts/obstacles": "Publishing",
    "shared/publishing": "Publishing",
    "shared/providers": "Platforms",
    "shared/public_api": "The public API",
    "functions/public_api": "The public API",
}
_ABOUT = {
    "Publishing": "These are on the post (`errorCode`, `error`), in its history and in a notification. "
    "Those without a status answer no request. 422 refuses the post while it is composed, and 201 is a warning.",
    "Platforms": "A refusal of a platform has the status when it answers a request (connecting, asking a platform). While a post is "
    "published it is on the post instead. `{words}` are the platform's own.",
}
_IMPERATIVE = (
    "Add|Allow|Approve|Ask|Correct|Create|Keep|Percent-encode|Reload|Stop|Change|Check|Choose|Compose|Confirm|Connect|Convert|Copy|Delete|Duplicate|Enable|Enter|Export|Fill|Finish|Give|"
    "Leave|Log|Look|Make|Move|Name|Offer|Open|Pick|Prove|Publish|Read|Reconnect|Register|Remove|Renew|Replace|Request|Resend|Restore|Retry|"
    "Reset|Revoke|Run|Save|Schedule|Search|See|Select|Send|Set|Sign|Start|Rotate|Turn|Switch|Take|Try|Update|Upload|Use|Wait|Write"
)
_REMEDY = re.compile(
    rf"(?:^|(?<=[.!?;:] )|(?<=\) ))(?=(?:{_IMPERATIVE}|If |To |Then |In the |Did you)\b)"
)


def markdown() -> str:
    """Return the page's text."""
    rows = [row for row in found_in_code() if row.words]
    return "".join(
        (
            _HEAD,
            *_sections(rows),
            _of_values(),
            _public_words(),
            _notifications(notifications()),
        )
    )


def parts_of(refusal: Refusal) -> tuple[str, str]:
    """Split a refusal into what it says and what to do; the second is in italics where the text does not say it."""
    found = _REMEDY.search(refusal.words)
    if found is None:
        return refusal.words, f"*{refusal.usual_remedy}*" if refusal.usual_remedy else ""
    return refusal.words[: found.start()].strip(), refusal.words[found.start() :]


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` report whether it is current; return the exit status."""
    if list(arguments) != ["--check"]:
        PAGE.write_text(markdown())
        return 0
    if not PAGE.exists() or PAGE.read_text() != markdown():
        print("docs/refusals.md does not match the code; run `make docs`.", file=sys.stderr)
        return 1
    return 0


def area_of(module: str) -> str:
    """Return the heading under which a module's refusals are listed."""
    steps = module.split(".")
    return _AREAS.get("/".join(steps[:3]), _AREAS.get("/".join(steps[:2]), "Other"))


def _sections(rows: Sequence[Refusal]) -> Iterator[str]:
    order = list(dict.fromkeys([*_AREAS.values(), "Other"]))
    whole = [row for row in rows if row.code]
    ranked = sorted(whole, key=lambda row: order.index(area_of(row.module)))
    for area, of_area in groupby(ranked, key=lambda row: area_of(row.module)):
        about = f"{_ABOUT[area]}\n\n" if area in _ABOUT else ""
        yield f"\n## {area}\n\n{about}{_TABLE}" + "".join(_lines(of_area))
    yield "\n## Why a file or an address cannot be read\n\n"
    yield 'Most of these complete another sentence, such as "The file cannot be read: its size is missing."\n\n'
    yield from dict.fromkeys(f"- {_cell(row.words, 1)}\n" for row in rows if not row.code)


def _lines(rows: Iterable[Refusal]) -> Iterator[str]:
    lines = dict.fromkeys(
        _line(row.code, row.status, *parts_of(row)) for row in sorted(rows, key=_rank)
    )
    return iter(lines)


def _rank(row: Refusal) -> tuple[str, str]:
    return row.status, row.code


def _line(*cells: str) -> str:
    return f"| {' | '.join(_cell(cell, number) for number, cell in enumerate(cells))} |\n"


def _cell(text: str, number: int) -> str:
    escaped = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return f"`{escaped}`" if number == 0 and escaped else escaped


def _of_values() -> str:
    rows = (_line(code, "422", words, "") for code, words in _samples())
    return (
        "\n## The wrong type or size\n\nA field's own refusals, with examples of what is filled in; `path` names the field.\n\n"
        f"| code | status | what it says | |\n| --- | --- | --- | --- |\n{''.join(rows)}"
    )


def _samples() -> Iterator[tuple[str, str]]:
    context = {
        "min_length": 2,
        "max_length": 500,
        "gt": 0,
        "ge": 0,
        "lt": 100,
        "le": 100,
        "multiple_of": 5,
        "expected": "'draft' or 'now'",
    }
    for kind in (
        *sorted(sentences.EXPLAINED),
        *sentences.AT_LEAST,
        *sentences.AT_MOST,
        *sentences.SENTENCES,
        "frozen_field",
    ):
        yield (
            kind,
            sentences.sentence({"type": kind, "msg": "", "ctx": context, "loc": ("content",)}),
        )


def _public_words() -> str:
    rows = (
        _line(code, "400", f"{{path}} {rule}", "*Correct the field.*")
        for code, rule in RULES.items()
    )
    fixed = [(error.code, error.status, words) for error, words in v1.MESSAGES.items()]
    fixed += [("too_many_requests", 429, v1.TOO_MANY), ("unexpected", 500, v1.UNEXPECTED)]
    lines = "".join(_line(code, str(status), words, "") for code, status, words in fixed)
    return (
        "\n## The public API's own words\n\nClients show these to people or compare them, so they never change.\n\n"
        f"{_TABLE}{lines}{''.join(rows)}"
    )


def _notifications(found: Sequence[Notification]) -> str:
    rows = dict.fromkeys(f"| {_cell(one.title, 1)} | {_cell(one.text, 1)} |\n" for one in found)
    return (
        "\n## Notifications and emails\n\nWhat Roost tells members by itself.\n\n| title | text |\n| --- | --- |\n"
        + "".join(rows)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
