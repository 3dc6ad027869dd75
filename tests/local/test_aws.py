import json
import stat
from base64 import b64encode
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from html import escape
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws import LocalAws
from local.mailbox import Mailbox
from tests.local.conftest import SmallAws, aws_client, read_small_system


class TestSecrets:
    def test_generated_and_referring_secrets(self, small_aws: SmallAws) -> None:
        aws, system, _ = small_aws
        arn = system.functions["EchoFunction"].environment["SECRET_ARN"]

        token = json.loads(
            aws_client(aws, "secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
        )
        first = aws_client(aws, "secretsmanager").get_secret_value(SecretId="roost-local-FirstKey")[
            "SecretString"
        ]

        assert len(first) == 40
        assert first.isalnum()
        assert token == {"key": first}

    def test_they_survive_a_restart_even_when_changed(
        self, small_aws: SmallAws, tmp_path: Path
    ) -> None:
        aws, system, _ = small_aws
        aws_client(aws, "secretsmanager").put_secret_value(
            SecretId="roost-local/token", SecretString='{"key": "mine"}'
        )
        before = aws_client(aws, "secretsmanager").get_secret_value(
            SecretId="roost-local-FirstKey"
        )["SecretString"]

        again = LocalAws(tmp_path, Mailbox(tmp_path / "mails"))
        again.create(read_small_system(again.endpoint))
        arn = system.functions["EchoFunction"].environment["SECRET_ARN"]
        kept = aws_client(again, "secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
        first = aws_client(again, "secretsmanager").get_secret_value(
            SecretId="roost-local-FirstKey"
        )["SecretString"]
        again.close()

        assert kept == '{"key": "mine"}'
        assert first == before

    def test_only_the_owner_can_read_the_files(self, small_aws: SmallAws, tmp_path: Path) -> None:
        assert {
            stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("secrets.json", "keys.json")
        } == {0o600}


class TestKeys:
    def test_what_was_sealed_opens_after_a_restart_with_its_context_only(
        self, small_aws: SmallAws, tmp_path: Path
    ) -> None:
        aws, _, _ = small_aws
        made = aws_client(aws, "kms").generate_data_key(
            KeyId="alias/sealing", KeySpec="AES_256", EncryptionContext={"organization": "1"}
        )

        again = LocalAws(tmp_path, Mailbox(tmp_path / "mails"))
        again.create(read_small_system(again.endpoint))
        opened = aws_client(again, "kms").decrypt(
            CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"organization": "1"}
        )
        with pytest.raises(ClientError, match="InvalidCiphertext"):
            aws_client(again, "kms").decrypt(
                CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"organization": "2"}
            )
        again.close()

        assert opened["Plaintext"] == made["Plaintext"]


class TestMail:
    def send(
        self,
        aws: LocalAws,
        content: dict[str, Any],
        sender: str = "Roost <no-reply@sender.example>",
    ) -> None:
        aws_client(aws, "sesv2").send_email(
            FromEmailAddress=sender, Destination={"ToAddresses": ["a@b.example"]}, Content=content
        )

    def simple(self, subject: str = "Hello") -> dict[str, Any]:
        body = {
            "Text": {"Data": "as text"},
            "Html": {"Data": "<b>as html</b><script>alert(1)</script>"},
        }
        return {"Simple": {"Subject": {"Data": subject}, "Body": body}}

    def test_text_and_html_are_kept_over_a_restart(
        self, small_aws: SmallAws, tmp_path: Path
    ) -> None:
        aws, _, _ = small_aws
        self.send(aws, self.simple("first"))
        self.send(aws, self.simple("second"))

        mails = json.loads(Mailbox(tmp_path / "mails").as_json())

        assert [(mail["subject"], mail["number"]) for mail in mails] == [
            ("second", 2),
            ("first", 1),
        ]
        assert (mails[0]["text"], mails[0]["to"]) == ("as text", ["a@b.example"])
        assert mails[0]["html"].startswith("<b>as html</b>")

    def test_raw_mail_is_taken_apart(self, small_aws: SmallAws) -> None:
        aws, _, mailbox = small_aws
        message = EmailMessage()
        message["Subject"] = "Größe"
        message.set_content("plain")
        message.add_alternative("<i>rich</i>", subtype="html")

        self.send(aws, {"Raw": {"Data": message.as_bytes()}})

        (mail,) = mailbox.newest_first()
        assert (mail.subject, mail.text.strip(), mail.html.strip()) == (
            "Größe",
            "plain",
            "<i>rich</i>",
        )

    def test_sender_that_is_not_verified_is_refused_and_nothing_is_kept(
        self, small_aws: SmallAws
    ) -> None:
        aws, _, mailbox = small_aws

        with pytest.raises(ClientError, match="not verified"):
            self.send(aws, self.simple(), sender="x@other.example")
        assert mailbox.newest_first() == []

    def test_page_shows_what_was_sent_and_runs_none_of_it(self, tmp_path: Path) -> None:
        mailbox = Mailbox(tmp_path)
        mailbox.keep(
            {"Destination": {"ToAddresses": ["a@b.example"]}, "Content": self.simple("<Sale>")}
        )

        page = mailbox.as_page().decode()

        assert "&lt;Sale&gt;" in page
        assert "<script" not in page
        assert 'sandbox="allow-popups' in page

    def test_headers_are_shown(self, tmp_path: Path) -> None:
        """Finding 4.5: the page shows what a mail says of itself, with what SES writes."""
        mailbox = Mailbox(tmp_path)
        content = self.simple()
        unsubscribe = "<https://roost.example/user/unsubscribe?token=a&b>"
        content["Simple"]["Headers"] = [{"Name": "List-Unsubscribe", "Value": unsubscribe}]
        mailbox.keep(
            {
                "FromEmailAddress": "Roost <no-reply@sender.example>",
                "Destination": {"ToAddresses": ["a@b.example"]},
                "Content": content,
            }
        )

        page = Mailbox(tmp_path).as_page().decode()

        for line in (
            "From: Roost <no-reply@sender.example>",
            "To: a@b.example",
            "Subject: Hello",
            "Message-ID: <1@email.amazonses.com>",
            f"List-Unsubscribe: {unsubscribe}",
        ):
            assert escape(line) in page
        headers = dict(json.loads(mailbox.as_json())[0]["headers"])
        assert (
            parsedate_to_datetime(headers["Date"]).isoformat() == mailbox.newest_first()[0].sent_at
        )

    def test_headers_of_a_raw_mail_are_its_own(self, tmp_path: Path) -> None:
        mailbox = Mailbox(tmp_path)
        raw = b"Subject: x\nmessage-id: <own@sender.example>\n\nbody"
        mailbox.keep({"Content": {"Raw": {"Data": b64encode(raw).decode()}}})

        names = [name.lower() for name, _ in mailbox.newest_first()[0].headers]

        assert sorted(names) == ["date", "from", "message-id", "subject", "to"]

    def test_mails_of_before_are_read(self, tmp_path: Path) -> None:
        Mailbox(tmp_path).keep({"Content": self.simple()})
        [file] = tmp_path.glob("*.json")
        kept = json.loads(file.read_text(encoding="utf-8"))
        del kept["headers"]
        file.write_text(json.dumps(kept), encoding="utf-8")

        assert Mailbox(tmp_path).newest_first()[0].subject == "Hello"

    def test_raw_data_is_read_as_it_is_on_the_wire(self, tmp_path: Path) -> None:
        mailbox = Mailbox(tmp_path)
        mailbox.keep({"Content": {"Raw": {"Data": b64encode(b"Subject: x\n\nbody").decode()}}})

        assert mailbox.newest_first()[0].text == "body"
