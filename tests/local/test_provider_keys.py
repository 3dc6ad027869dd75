"""Where keys of real platforms go on a laptop. Finding 6.1."""

import json
from pathlib import Path

import pytest

from local.aws import LocalAws
from local.home import CannotStart
from local.mailbox import Mailbox
from local.provider_keys import key_names, read_keys
from shared.identity.login_providers.offered import KEY_NAMES
from tests.local.conftest import aws_client, read_small_system


class TestReadKeys:
    def test_names_are_those_that_platforms_need(self) -> None:
        assert {"X_API_KEY", "X_API_SECRET", "LINKEDIN_CLIENT_ID"} <= set(key_names())

    def test_logins_have_theirs_there_too(self) -> None:
        assert set(KEY_NAMES) <= set(key_names())

    def test_no_file_changes_nothing(self, tmp_path: Path) -> None:
        assert read_keys(tmp_path / "providers.json") is None

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("{", r"cannot be read: .* Write \{"),
            ("[]", "must be a JSON object of strings"),
            ('{"X_API_KEY": 5}', "must be a JSON object of strings"),
            ('{"X_KEY": "a"}', r"nothing uses X_KEY\. Use GITHUB_CLIENT_ID"),
        ],
    )
    def test_what_cannot_be_used_is_refused_with_words(
        self, tmp_path: Path, text: str, says: str
    ) -> None:
        (tmp_path / "providers.json").write_text(text)
        with pytest.raises(CannotStart, match=says):
            read_keys(tmp_path / "providers.json")


def test_functions_read_them_as_the_secret(tmp_path: Path) -> None:
    system = read_small_system()
    aws = LocalAws(tmp_path, Mailbox(tmp_path / "mails"))
    aws.create(system)
    try:
        name = system.secrets[0].name
        aws.put_secret(name, {"X_API_KEY": "key"})
        aws.add_to_secret(name, {"X_API_KEY": "other", "OAUTH_CLIENT_SECRET": "added"})
        answer = aws_client(aws, "secretsmanager").get_secret_value(SecretId=name)
    finally:
        aws.close()
    assert json.loads(answer["SecretString"]) == {
        "X_API_KEY": "key",
        "OAUTH_CLIENT_SECRET": "added",
    }
