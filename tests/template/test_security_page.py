"""Whether `docs/security.md` names what exists, has every requirement once, and has the numbers of the code."""

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.access import change_email, context, invitations, ownership, policy, recovery, sign_in
from shared.apps import credentials, device, server
from shared.core.config import Settings
from shared.identity import (
    codes,
    devices,
    leaked_passwords,
    passkeys,
    password_rules,
    pauses,
    second_factor,
    sessions,
)
from shared.identity.login_providers import base
from shared.organizations import deletions, impersonation

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()

# The numbers of OWASP ASVS 5.0.0, without the sentences.
LEVEL_1 = """
    1.2.1 1.2.2 1.2.3 1.2.4 1.2.5 1.3.1 1.3.2 1.5.1 2.1.1 2.2.1 2.2.2 2.3.1 3.2.1 3.2.2 3.3.1 3.4.1 3.4.2 3.5.1 3.5.2
    3.5.3 4.1.1 4.4.1 5.2.1 5.2.2 5.3.1 5.3.2 6.1.1 6.2.1 6.2.2 6.2.3 6.2.4 6.2.5 6.2.6 6.2.7 6.2.8 6.3.1 6.3.2 6.4.1
    6.4.2 7.2.1 7.2.2 7.2.3 7.2.4 7.4.1 7.4.2 8.1.1 8.2.1 8.2.2 8.3.1 9.1.1 9.1.2 9.1.3 9.2.1 10.4.1 10.4.2 10.4.3
    10.4.4 10.4.5 11.3.1 11.3.2 11.4.1 12.1.1 12.2.1 12.2.2 13.4.1 14.2.1 14.3.1 15.1.1 15.2.1 15.3.1
"""
LEVEL_2 = """
    1.1.1 1.1.2 1.2.6 1.2.7 1.2.8 1.2.9 1.3.3 1.3.4 1.3.5 1.3.6 1.3.7 1.3.8 1.3.9 1.3.10 1.3.11 1.4.1 1.4.2 1.4.3 1.5.2
    2.1.2 2.1.3 2.2.3 2.3.2 2.3.3 2.3.4 2.4.1 3.3.2 3.3.3 3.3.4 3.4.3 3.4.4 3.4.5 3.4.6 3.5.4 3.5.5 3.7.1 3.7.2 4.1.2
    4.1.3 4.2.1 4.3.1 4.3.2 4.4.2 4.4.3 4.4.4 5.1.1 5.2.3 5.4.1 5.4.2 5.4.3 6.1.2 6.1.3 6.2.9 6.2.10 6.2.11 6.2.12
    6.3.3 6.3.4 6.4.3 6.4.4 6.5.1 6.5.2 6.5.3 6.5.4 6.5.5 6.6.1 6.6.2 6.6.3 6.8.1 6.8.2 6.8.3 6.8.4 7.1.1 7.1.2 7.1.3
    7.3.1 7.3.2 7.4.3 7.4.4 7.4.5 7.5.1 7.5.2 7.6.1 7.6.2 8.1.2 8.2.3 8.4.1 9.2.2 9.2.3 9.2.4 10.1.1 10.1.2 10.2.1
    10.2.2 10.3.1 10.3.2 10.3.3 10.3.4 10.4.6 10.4.7 10.4.8 10.4.9 10.4.10 10.4.11 10.5.1 10.5.2 10.5.3 10.5.4 10.5.5
    10.6.1 10.6.2 10.7.1 10.7.2 10.7.3 11.1.1 11.1.2 11.2.1 11.2.2 11.2.3 11.3.3 11.4.2 11.4.3 11.4.4 11.5.1 11.6.1
    12.1.2 12.1.3 12.3.1 12.3.2 12.3.3 12.3.4 13.1.1 13.2.1 13.2.2 13.2.3 13.2.4 13.2.5 13.3.1 13.3.2 13.4.2 13.4.3
    13.4.4 13.4.5 14.1.1 14.1.2 14.2.2 14.2.3 14.2.4 14.3.2 14.3.3 15.1.2 15.1.3 15.2.2 15.2.3 15.3.2 15.3.3 15.3.4
    15.3.5 15.3.6 15.3.7 16.1.1 16.2.1 16.2.2 16.2.3 16.2.4 16.2.5 16.3.1 16.3.2 16.3.3 16.3.4 16.4.1 16.4.2 16.4.3
    16.5.1 16.5.2 16.5.3 17.1.1 17.2.1 17.2.2 17.2.3 17.2.4 17.3.1 17.3.2
"""
_ROW = re.compile(r"\| ([\d.]+) \| (\d) \| ([a-z ]+) \| (.+) \| (.*)\|")
ROWS = [row.groups() for row in map(_ROW.fullmatch, PAGE.splitlines()) if row]
STATES = {"met", "not met", "does not apply"}

REFERENCE = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|md|yaml|toml|json))((?:::\w+)*)`")
LINK = re.compile(r"\]\(([\w./-]*)(?:#([\w-]+))?\)")
SCRIPTS = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|postMessage")
REFUSED_MODULES = {
    "subprocess", "pickle", "marshal", "shelve", "yaml", "xml", "lxml", "ldap", "ldap3", "code", "jinja2",
}  # fmt: skip
REFUSED_CALLS = {"eval()", "exec()", "compile()", "__import__()", "os.system()", "os.popen()"}

LIVES = {
    "access token, cookie `auth`": timedelta(
        seconds=Settings.model_fields["access_token_seconds"].default
    ),
    "session that nobody renews": timedelta(days=Settings.model_fields["session_days"].default),
    "session, however often renewed": sessions.WHOLE_LIFE,
    "replaced renew token": sessions.GRACE,
    "known device, cookie `device`": devices.DEVICE_LIFE,
    "sign-in that waits for a second factor": sessions.FACTOR_LIFE,
    "device remembered for the second factor": sessions.REMEMBERED,
    "recovery before it removes the factors": recovery.WAITING,
    "challenge for a passkey": passkeys.CHALLENGE_LIFE,
    "login that has begun at a provider": base.ANSWER_LIFE,
    "login that waits for the account's owner": sign_in.LINK_LIFE,
    "registration after a provider's proof": sign_in.REGISTRATION_LIFE,
    "link that activates an account": codes.ACTIVATION_LIFE,
    "link that sets a password": codes.RESET_LIFE,
    "link that begins a recovery": codes.RESET_LIFE,
    "link that confirms a new address": change_email.CHANGE_LIFE,
    "link that undoes a change of address": change_email.UNDO_LIFE,
    "invitation": invitations.LIFE,
    "offer of ownership": ownership.LIFE,
    "impersonation": impersonation.IMPERSONATION_LIFE,
    "authorization code of an app": server.CODE_LIFE,
    "code of a device login": device.LIFE,
    "access token of an app with refresh tokens": credentials.TOKEN_LIFE,
    "consent without use": credentials.UNUSED_LIFE,
}
RATES = (
    policy.SIGN_IN, policy.SIGN_UP, policy.MAIL, policy.CONFIRM, policy.RENEW, policy.JOINING, policy.INVITATIONS,
    policy.KEYS, policy.TOKENS, policy.DEVICES, policy.DEVICE_POLLS, policy.REGISTER,
)  # fmt: skip


def spellings(life: timedelta) -> set[str]:
    """Return how the page may write a time: `72 hours` and `3 days` are the same."""
    units = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
    seconds = round(life.total_seconds())
    return {
        f"{seconds // size} {unit}{'s' if seconds != size else ''}"
        for unit, size in units.items()
        if seconds % size == 0
    }


def headings(page: str) -> set[str]:
    """Return the anchors of a page."""
    found = re.findall(r"^#+ (.+)$", (ROOT / "docs" / page).read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@functools.cache
def names_in(path: Path) -> set[str]:
    """Return the tests of a file: `::test_x` and `::TestY::test_z`."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            names.add(f"::{node.name}")
        elif isinstance(node, ast.ClassDef):
            inner = (each.name for each in node.body if isinstance(each, ast.FunctionDef))
            names |= {f"::{node.name}", *(f"::{node.name}::{name}" for name in inner)}
    return names


def outside_of(node: ast.AST) -> list[str]:
    """Return the modules that a node imports, and the function that it calls."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module)):
            return [module]
        case ast.Call(func=ast.Name(id=name)):
            return [f"{name}()"]
        case ast.Attribute(value=ast.Name(id="os"), attr=name):
            return [f"os.{name}()"]
    return []


def is_refused(name: str) -> bool:
    return name in REFUSED_CALLS or name.partition(".")[0] in REFUSED_MODULES


def code() -> Iterator[tuple[str, str]]:
    for folder in ("shared", "functions"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text()


class TestRequirements:
    def test_each_is_there_once_with_its_level(self) -> None:
        levels = {"1": LEVEL_1.split(), "2": LEVEL_2.split()}
        assert [len(numbers) for numbers in levels.values()] == [70, 183]
        expected = [(number, level) for level, numbers in levels.items() for number in numbers]
        assert Counter((row[0], row[1]) for row in ROWS) == Counter(expected)

    def test_what_is_met_has_something_that_shows_it(self) -> None:
        assert {row[2] for row in ROWS} == STATES
        assert [row[0] for row in ROWS if row[2] == "met" and not REFERENCE.search(row[4])] == []

    def test_the_sum_is_that_of_the_rows(self) -> None:
        counts = Counter(row[2] for row in ROWS)
        assert (
            f"Of {len(ROWS)} requirements, {counts['met']} are met, {counts['not met']} are not met, and "
            f"{counts['does not apply']} do not apply."
        ) in PAGE


class TestReferences:
    def test_every_file_and_test_exists(self) -> None:
        found = REFERENCE.findall(PAGE)
        assert len(found) > 200
        assert [
            text
            for text in re.findall(r"`([^`]+)`", PAGE)
            if "::" in text or text.endswith(".py") or text.startswith(("tests/", "shared/"))
            if not REFERENCE.fullmatch(f"`{text}`")
        ] == []
        missing = [path + name for path, name in found if not (ROOT / path).is_file()]
        missing += [
            path + name
            for path, name in found
            if name and (ROOT / path).is_file() and name not in names_in(ROOT / path)
        ]
        assert missing == []

    def test_every_link_leads_somewhere(self) -> None:
        links = [link for link in LINK.findall(PAGE) if any(link)]
        assert links
        assert [
            link for link in links if link[1] and link[1] not in headings(link[0] or "security.md")
        ] == []


class TestNumbers:
    @pytest.mark.parametrize("what", LIVES)
    def test_lives_are_those_of_the_code(self, what: str) -> None:
        (row,) = re.findall(rf"^\| {re.escape(what)} \| ([^|]+) \|", PAGE, re.MULTILINE)
        assert row in spellings(LIVES[what])

    @pytest.mark.parametrize("rate", RATES, ids=lambda rate: rate.name)
    def test_rates_are_those_of_the_policy(self, rate: policy.Rate) -> None:
        found = re.findall(rf"^\| `{rate.name}` \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
        ((calls, window, per),) = found
        assert (int(calls), per) == (rate.times, rate.per.value)
        assert window in spellings(rate.window)

    def test_pauses_are_those_of_the_code(self) -> None:
        found = re.findall(r"^\| from [^|]+ \| (\d+) \| (\d+ \w+) \|$", PAGE, re.MULTILINE)
        for (free, longest), of_code in zip(
            found, (pauses.ONE_NETWORK, pauses.ALL_NETWORKS, pauses.CODES), strict=True
        ):
            assert int(free) == of_code.free - 1
            assert longest in spellings(of_code.longest)

    def test_passwords_sessions_and_proofs_are_those_of_the_code(self) -> None:
        for sentence in (
            f"{password_rules.SHORTEST} to {password_rules.LONGEST} code points",
            f"under {password_rules.LONG_ENOUGH} code points",
            f"{password_rules.FEWEST_GUESSES:,} tries",
            f"within {leaked_passwords.LONGEST_REQUEST.seconds} second",
            f"After {second_factor.WARNED_AFTER} wrong codes",
            f"at most {sessions.MOST_SESSIONS} sessions",
            f"can come back for {deletions.TIME_TO_RETURN.days} days",
            f"in the last {context.FRESH.seconds // 60} minutes",
        ):
            assert sentence in PAGE, sentence


class TestCode:
    def test_scripts_write_text_and_never_html(self) -> None:
        found = [path for path, text in code() if SCRIPTS.search(text)]
        assert found == []

    def test_no_process_is_started_and_only_json_is_read(self) -> None:
        used = {
            (path, name)
            for path, text in code()
            for node in ast.walk(ast.parse(text))
            for name in outside_of(node)
        }
        assert {(path, name) for path, name in used if is_refused(name)} == set()
