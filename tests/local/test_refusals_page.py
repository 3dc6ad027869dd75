"""Whether `docs/refusals.md` lists every refusal that the code contains, each with what to do."""

import ast
import functools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from local.docs.found_refusals import Refusal, found_in_code, notifications
from local.docs.refusals import markdown, parts_of
from shared.access.errors import RateLimitReached
from shared.access.policy import Quota
from shared.core.sentences import sentence

ROOT = Path(__file__).resolve().parents[2]
# Raised where a program is wrong, a connection breaks or a tool of the developer's refuses: no member reads their words.
OF_PROGRAMS = frozenset(
    [
        "AssertionError",
        "LookupError",
        "TypeError",
        "RuntimeError",
        "ExceptionGroup",
        "LeaseLost",
        "NameClash",
        "Undescribed",
        "SettingsRefused",
        "InterfaceError",
        "ConnectError",
        "ConnectTimeout",
        "ReadTimeout",
        "CannotOpen",
        "MCPError",
        "DeploymentNotAnswered",
        "too_late",
    ]
)
# A `ValueError` reaches a caller where Pydantic turns it into a refusal of a field.
OF_VALIDATORS = ("schemas.py", "languages.py")
READ = ("FieldProblem", "FieldRefused", "PydanticCustomError")
FEWEST_WORDS = 3


@functools.cache
def listed() -> str:
    rows = [row.words for row in found_in_code()]
    return "\n".join([*rows, *(f"{one.title}\n{one.text}" for one in notifications())])


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def calls_of_members(path: Path) -> Iterator[ast.Call]:
    """List the calls with words for a member: what is raised, refused fields, and what `errors.py` says."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = name_of(node.exc)
            is_read = name != "ValueError" or path.name.endswith(OF_VALIDATORS)
            if name not in OF_PROGRAMS and is_read:
                yield node.exc
        elif isinstance(node, ast.Call):
            is_own = path.name == "errors.py" and ast.unparse(node.func) == "super().__init__"
            if name_of(node) in READ or is_own:
                yield node


def sentences_in(call: ast.Call) -> Iterator[str]:
    for node in ast.walk(call):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.strip()
            if len(text.split()) >= FEWEST_WORDS and not text.startswith("http"):
                yield text


SOURCES = [
    path
    for path in sorted([*ROOT.glob("shared/**/*.py"), *ROOT.glob("functions/*/app.py")])
    if "migrations" not in path.parts
]


class TestPage:
    def test_every_sentence_that_is_raised_is_listed(self) -> None:
        found = [
            (str(path.relative_to(ROOT)), call.lineno, text)
            for path in SOURCES
            for call in calls_of_members(path)
            for text in sentences_in(call)
        ]
        assert len(found) > 250
        assert [one for one in found if one[2] not in listed()] == []

    def test_every_refusal_has_a_reason_or_a_remedy_of_its_own_and_something_to_do(self) -> None:
        for row in found_in_code():
            if row.code:
                reason, remedy = parts_of(row)
                assert remedy, row
                assert reason or not remedy.startswith("*"), row

    @pytest.mark.parametrize(
        ("words", "parts"),
        [
            ("The file is empty. Choose another.", ("The file is empty.", "Choose another.")),
            ("The file is empty.", ("The file is empty.", "*Look again.*")),
            ("It is over: try it. If not, go.", ("It is over: try it.", "If not, go.")),
        ],
    )
    def test_what_to_do_stands_by_itself(self, words: str, parts: tuple[str, str]) -> None:
        assert parts_of(Refusal("shared.media", "x", "422", words, "Look again.")) == parts

    @pytest.mark.parametrize(
        "row",
        [
            "| `channel_not_found` | 404 | This channel does not exist. It may be deleted, or belong to another "
            "organization. | *Check the id.* |",
            "| `too_long` | 422 | {name} allows at most {max_length} characters; this part has {length}. | "
            "*Shorten the text.* |",
            "| `unknown_field` | 422 | The field `{name}` is unknown. | Leave it out. |",
        ],
    )
    def test_shows_code_status_sentence_and_remedy(self, row: str) -> None:
        assert row in markdown().splitlines()


class TestStyleGuide:
    """The sentences that once read translated."""

    def test_wrong_type(self) -> None:
        assert sentence({"type": "frozen_field", "msg": "", "loc": ("a",)}) == (
            "This value has the wrong type."
        )

    def test_rate_limit(self) -> None:
        refused = RateLimitReached(Quota(30, 0, 40), timedelta(hours=1))
        assert refused.message == "Rate limit: 30 calls an hour. Try again in 40 seconds."

    def test_a_missing_field_is_named(self) -> None:
        from shared.providers.platforms.x import XSettings

        field = XSettings.model_fields["article_title"]
        assert field.title
        assert sentence({"type": "missing", "loc": ("article_title",)}, field).startswith(
            f"{field.title} is required."
        )

    @pytest.mark.parametrize(
        "words",
        [
            "You can only set the address of a published post whose address is unknown.",
            "It was more than 24 hours late, so it was not sent. Choose a new time.",
        ],
    )
    def test_is_listed(self, words: str) -> None:
        assert words in listed()
