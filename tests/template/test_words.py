"""Whether texts keep to plain words, and new names to one meaning: `docs/glossary.md` has the words that are used."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ("shared", "functions", "layers", "local", "benchmarks")
# What was given up, with the reason. Each is a word or phrase that has few honest uses in this project.
GIVEN_UP = {
    r"\bwhoever\b": "name the person or the process",
    r"\bof whom\b": "translated; start a new sentence",
    r"\bprograms? of others\b": "third-party app",
    r"\bwhat (?:became|becomes) of\b": "what happened to, the result of",
    r"\banew\b": "again",
    r"\bmend(?:ed|s)?\b": "fix",
    r"\b(?:say|says|tell|tells|told) of\b": "report, list, notify of",
    r"\bhears? of\b": "receive, be notified of",
    r"\bturn(?:s|ed)? (?:it|them)? ?away\b": "deny",
    r"\bout of season\b": "late",
    r"\bwhat is due to\b": "what comes from",
    r"\bdoes not do\b": "is refused",
    r"\bis no e-?mail\b": "is not an email",
    r"\bin a while\b": "name the time",
    r'"""(?:Hold|Say|Tell) (?:that|whether)\b': "check, return, report",
    r"\bkeys? of before\b|\bof before the\b": "previous, earlier",
    r"\bwork(?:s|ed|ing)? off\b": "process",
    r"\be-mails?\b": "email",
    r"\bartefacts?\b": "artifact",
    r"\bfor ever\b": "forever",
    r"\bvanish(?:es|ed)?\b": "a process dies, a file is deleted",
    r"\bon-the-second\b": "the message",
    r'"""(?:Which|How|What|Who|Where|Is|Does|Do|May|When|In what|On what)\b[^"\n]*\?': "state what the file does",
}
# Names that mean two things in this project; with another word beside them they are fine.
TWO_MEANINGS = {"page", "stage", "release", "key", "told", "shown", "line", "standing", "facts"}
# Names that are older than the rule. None may be added.
KEPT_MODULES = {
    "functions/stage",
    "shared/core/page.py",
    "shared/posts/release.py",
    "shared/publishing/stage.py",
}
KEPT_NAMES = {
    "shared/core/page.py Page",
    "shared/db/sweep.py Page",
    "shared/webhooks/delivery_queries.py Page",
    "shared/public_api/notifications.py Told",
}
# Participles that say nothing of what they name.
GIVEN_UP_IN_NAMES = {"told", "shown", "said", "facts", "standing"}
# Names that others see: a column, and schemas of the API's document.
KEPT_WITH_GIVEN_UP_WORDS = {
    "shared/apps/schemas.py AppShown",
    "shared/posts/models.py told_generation",
    "shared/public_api/notifications.py Told",
    "shared/public_api/notifications.py ToldPage",
}


def texts() -> Iterator[Path]:
    for folder in CODE:
        paths = (ROOT / folder).rglob("*.py")
        yield from (path for path in paths if "migrations" not in path.parts)
    yield from (ROOT / "docs").rglob("*.md")
    yield from (ROOT / name for name in ("README.md", "template.yaml", "Makefile"))


TEXTS = sorted(texts())


@pytest.mark.parametrize("word", GIVEN_UP)
def test_no_text_has_a_word_that_was_given_up(word: str) -> None:
    pattern = re.compile(word, re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in TEXTS
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == [], GIVEN_UP[word]


def test_the_words_are_found_where_they_are() -> None:
    """A pattern that matches nothing would forbid nothing."""
    sentences = (
        "whoever asks", "none of whom", "programs of others", "what became of it", "made anew", "mend it",
        "it tells of posts", "who hears of it", "turned away", "out of season", "what is due to it",
        "an API key does not do", "is no email address", "calls in a while", '"""Hold that', "the key of before",
        "works off a batch", "an e-mail", "an artefact", "kept for ever", "a holder that vanished", "the on-the-second message",
        '"""Which statements read posts?',
    )  # fmt: skip
    for word, sentence in zip(GIVEN_UP, sentences, strict=True):
        assert re.search(word, sentence, re.IGNORECASE), word


def test_no_new_module_has_a_name_with_two_meanings() -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in CODE
        for path in [*(ROOT / folder).rglob("*.py"), *(ROOT / "functions").iterdir()]
        if path.stem in TWO_MEANINGS
    }
    assert found <= KEPT_MODULES


def test_no_function_or_class_has_a_name_with_two_meanings() -> None:
    found = {
        f"{path.relative_to(ROOT)} {node.name}"
        for path in TEXTS
        if path.suffix == ".py"
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name.lower() in TWO_MEANINGS
    }
    assert found <= KEPT_NAMES


def test_no_name_has_a_word_that_was_given_up() -> None:
    found = {
        f"{path.relative_to(ROOT)} {name}"
        for path in TEXTS
        if path.suffix == ".py"
        for name in names_in(ast.parse(path.read_text()))
        if GIVEN_UP_IN_NAMES & set(re.sub(r"([A-Z])", r"_\1", name).lower().split("_"))
    }
    assert found == KEPT_WITH_GIVEN_UP_WORDS


def names_in(tree: ast.Module) -> Iterator[str]:
    """Yield what the module names: functions, classes, parameters and variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def test_the_glossary_explains_each_of_them() -> None:
    rows = (ROOT / "docs" / "glossary.md").read_text().splitlines()
    for name in ("page", "stage", "release", "key"):
        assert any(row.startswith(f"| {name} |") for row in rows), name
