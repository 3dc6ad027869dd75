"""Do the built artifacts work once SAM has deployed them, and does a second deployment reach what serves requests?"""

import filecmp
import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from layers import build, operate
from tests.deployed.conftest import LEAD_SECONDS, NEAR_SECONDS, STAGE, Browser, System
from tests.shared.media.files import a_picture

pytestmark = pytest.mark.deployed
ACCOUNT = {
    "provider": "LOCAL",
    "email": "ada@example.org",
    "password": "correct horse",
    "company": "Analytics",
}
LOGIN = {name: ACCOUNT[name] for name in ("provider", "email", "password")}
PATIENCE = timedelta(seconds=90)
HTTP = (
    "identity",
    "organizations",
    "posts",
    "channels",
    "media",
    "automation",
    "public-api",
    "apps",
    "mcp",
    "root",
)


class TestFirstDeployment:
    def test_the_schema_is_there_before_anything_serves(self, system: System) -> None:
        assert system.invoke("migrate", {})["revision"]

    def test_every_http_function_starts_from_its_artifact(self, system: System) -> None:
        for function in HTTP:
            assert Browser(system, function).get("/no-such-path").status in {401, 404}, function

    def test_the_first_user_needs_no_mail(
        self, system: System, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Finding 7.9: register, become the operator by the command, log in, compose, read."""
        browser = Browser(system, "identity")
        registered = browser.post("/auth/register", ACCOUNT)
        assert (registered.status, registered.json) == (200, {"activate": True})
        (mail,) = _mails()
        assert mail["To"] == [ACCOUNT["email"]]
        assert "/auth/activate?code=" in mail["BodyText"]
        assert browser.post("/auth/login", LOGIN).json["code"] == "not_activated"
        assert operate.main(["super-admin", "nobody@example.org", STAGE]) == 1
        assert "There is no account with the address" in capsys.readouterr().err
        assert operate.main(["super-admin", ACCOUNT["email"], STAGE]) == 0
        member = _member(system)
        assert member["identity"].get("/user/self").json["admin"] is True
        assert member["posts"].get("/posts/list").status == 200

    def test_posts_near_and_far_appear_at_their_time(self, system: System) -> None:
        """Connect a channel by OAuth; one post goes by a delayed message, one by schedule, prepare and queue."""
        member = _member(system)
        channel = _connect(member["channels"], system)
        member["posts"].get("/posts/list")  # a cold start now, not between now and the near post
        now = datetime.now(UTC).replace(microsecond=0)
        due = {
            "near": now + timedelta(seconds=NEAR_SECONDS - 5),
            "far": now + timedelta(seconds=LEAD_SECONDS + 30),
        }
        sent = {name: _schedule(member["posts"], channel, name, at=due[name]) for name in due}
        waiting = boto3.client("scheduler").list_schedules(
            GroupName=system.variables("posts")["SCHEDULE_GROUP"]
        )["Schedules"]
        assert [sent["far"] in each["Name"] for each in waiting].count(True) == 1
        assert not any(sent["near"] in each["Name"] for each in waiting)
        for name, post_id in sent.items():
            post = _wait_until_sent(member["posts"], post_id, until=due[name] + PATIENCE)
            assert post["state"] == "PUBLISHED", post
        shown = _statuses(system)
        assert sorted(shown) == ["far", "near"]
        for text, status in shown.items():
            assert datetime.fromisoformat(status["created_at"]) >= due[text]

    def test_a_program_publishes_a_picture(self, system: System) -> None:
        """Upload to the bucket, let the variants function make its copy, and publish by the public API with a key."""
        member = _member(system)
        media = _upload(member["media"], a_picture(".png"), alt="A square")
        program = _program(member["identity"], system, "public-api")
        (channel,) = program.get("/public/v1/integrations").json
        value = [{"content": "with a picture", "image": [media]}]
        body = {
            "type": "now",
            "date": datetime.now(UTC).isoformat(),
            "shortLink": False,
            "tags": [],
            "posts": [{"integration": {"id": channel["id"]}, "value": value}],
        }
        sent = program.post("/public/v1/posts", body)
        assert sent.status == 201, sent.text
        until = datetime.now(UTC) + PATIENCE
        post = _wait_until_sent(member["posts"], sent.json[0]["postId"], until=until)
        assert post["state"] == "PUBLISHED", post
        (attached,) = _statuses(system)["with a picture"]["media"]
        assert attached["description"] == "A square"

    def test_a_language_model_lists_channels(self, system: System) -> None:
        program = _program(_member(system)["identity"], system, "mcp")
        call = {"name": "integrationList", "arguments": {}}
        answer = program.post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})  # fmt: skip
        assert answer.status == 200, answer.text
        assert answer.json["result"].get("isError", False) is False
        assert "ada" in json.dumps(answer.json["result"])

    def test_a_function_may_do_no_more_than_its_role(self, system: System) -> None:
        """The functions' own roles are enforced: the one that signs sessions may read the keys, the one that answers `/` not."""
        assert _as_function(system, "identity").get_secret_value(SecretId=f"{system.stack}/app")
        with pytest.raises(ClientError, match="AccessDenied"):
            _as_function(system, "root").get_secret_value(SecretId=f"{system.stack}/app")


class TestSecondDeployment:
    def test_a_changed_parameter_reaches_what_serves_requests(self, system: System) -> None:
        """Finding 7.3: it made no version, so nothing that has an alias ever heard of it."""
        before = system.aliases()
        assert system.variables("posts")["DISABLE_REGISTRATION"] == "false"
        assert system.deploy("DisableRegistration=true", "SnapStart=true") == 0
        after = system.aliases()
        assert len(before) == 12
        assert {name for name in before if before[name] != after[name]} == set(before)
        assert system.variables("posts")["DISABLE_REGISTRATION"] == "true"
        refused = Browser(system, "identity").post(
            "/auth/register", {**ACCOUNT, "email": "b@example.org"}
        )
        assert refused.json["code"] == "registration_closed"

    def test_http_functions_start_from_a_snapshot(self, system: System) -> None:
        """The emulator starts each version when it is published; one that cannot start is `Failed`."""
        until = datetime.now(UTC) + PATIENCE
        for function in HTTP:
            while (found := system.configuration(function))["State"] == "Pending":
                assert datetime.now(UTC) < until, function
                time.sleep(0.5)
            assert (found["State"], found["SnapStart"]["OptimizationStatus"]) == ("Active", "On")

    def test_nothing_changed_moves_nothing(self, system: System) -> None:
        before = system.aliases()
        assert system.deploy("DisableRegistration=true", "SnapStart=true") == 0
        assert system.aliases() == before


class TestBuilds:
    def test_the_two_builds_differ_in_wheels_alone(self) -> None:
        """What is tested here is what AWS gets, but for the processor that compiled code is for."""
        assert (build.BUILD / "template.yaml").exists(), "Run `make build` first."
        names = [path.name for path in build.HOST_BUILD.iterdir() if path.name.endswith("Function")]
        assert len(names) >= 20
        for name in names:
            assert _differences(build.BUILD / name, build.HOST_BUILD / name) == [], name
        for layer in ("DependenciesLayer", "PicturesLayer", "ToolsLayer"):
            different = _differences(build.BUILD / layer, build.HOST_BUILD / layer)
            assert [path for path in different if not _is_of_a_wheel(path)] == []


def _member(system: System) -> Mapping[str, Browser]:
    """Log in; one browser for each function, all with the same cookies."""
    signed_in = Browser(system, "identity")
    answer = signed_in.post("/auth/login", LOGIN)
    assert answer.status == 200, answer.text
    return {function: Browser(system, function, signed_in.cookies) for function in HTTP}


def _connect(browser: Browser, system: System) -> str:
    """Connect an account of the sandbox, as the person who allows it; the channel's id."""
    path = "/integrations/social/mastodon-custom"
    asked = browser.get(path, query={"externalUrl": system.sandbox_url})
    assert asked.status == 200, asked.text
    page, _mark, query = asked.json["url"].partition("?")
    allowed = httpx.post(
        page, data={**dict(parse_qsl(query)), "decision": "allow", "account": "ada"}, timeout=10
    )
    back = dict(parse_qsl(urlsplit(allowed.headers["location"]).query))
    body = {"state": back["state"], "code": back["code"], "timezone": "UTC"}
    connected = browser.post(f"{path}/connect", body)
    assert connected.status in {200, 201}, connected.text
    return str(connected.json["id"])


def _program(signed_in: Browser, system: System, function: str) -> Browser:
    """Create an API key; a program that calls a function with it."""
    made = signed_in.post("/user/api-key", {"name": function})
    assert made.status == 201, made.text
    program = Browser(system, function)
    program.headers["authorization"] = made.json["key"]
    return program


def _upload(browser: Browser, content: bytes, *, alt: str) -> Mapping[str, Any]:
    """Upload a small file straight to the storage and describe it; the file as the API shows it."""
    started = browser.post("/media", {"name": "square.png", "size": len(content)})
    assert started.status == 201, started.text
    (part,) = started.json["parts"]
    put = httpx.put(part["url"], content=content, timeout=10)
    assert put.status_code == 200, put.text
    parts = {"parts": [{"number": part["number"], "etag": put.headers["etag"]}]}
    completed = browser.post(f"/media/{started.json['id']}/complete", parts)
    assert completed.status == 201, completed.text
    described = browser.put(f"/media/{completed.json['id']}", {"alt": alt})
    assert described.status == 200, described.text
    return dict(described.json)


def _statuses(system: System) -> Mapping[str, Mapping[str, Any]]:
    """Return what stands on the sandbox network, by text."""
    shown = httpx.get(f"{system.sandbox_url}/_statuses", timeout=10).json()["statuses"]
    found = {status["text"]: status for status in shown}
    assert len(found) == len(shown)
    return found


def _mails() -> list[Mapping[str, Any]]:
    """Return the mails that SES took."""
    inbox = httpx.get(f"{os.environ['AWS_ENDPOINT_URL']}/_ministack/ses/messages", timeout=10)
    return [mail for mails in inbox.json()["messages"].values() for mail in mails]


def _schedule(browser: Browser, channel: str, text: str, *, at: datetime) -> str:
    value = [{"content": f"<p>{text}</p>", "image": []}]
    body = {
        "type": "schedule",
        "date": at.isoformat(),
        "tags": [],
        "posts": [{"integration": {"id": channel}, "value": value}],
    }
    answer = browser.post("/posts", body)
    assert answer.status in {200, 201}, answer.text
    return str(answer.json[0]["postId"])


def _wait_until_sent(browser: Browser, post_id: str, *, until: datetime) -> Mapping[str, Any]:
    while True:
        (part,) = browser.get(f"/posts/{post_id}").json["posts"]
        if part["state"] in {"PUBLISHED", "ERROR"} or datetime.now(UTC) > until:
            return dict(part)
        time.sleep(1)


def _as_function(system: System, function: str) -> Any:
    """Return a client of the secrets with the credentials that a function's calls are made with."""
    role = boto3.client("lambda").get_function_configuration(
        FunctionName=f"{system.stack}-{function}"
    )["Role"]
    # Only Lambda may take the role; here the test may, too.
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}
            for principal in ({"Service": "lambda.amazonaws.com"}, {"AWS": "*"})
        ],
    }
    boto3.client("iam").update_assume_role_policy(
        RoleName=role.rpartition("/")[2], PolicyDocument=json.dumps(trust)
    )
    taken = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return boto3.client(
        "secretsmanager",
        aws_access_key_id=taken["AccessKeyId"],
        aws_secret_access_key=taken["SecretAccessKey"],
        aws_session_token=taken["SessionToken"],
    )


def _differences(one: Path, other: Path) -> list[str]:
    files = {
        str(path.relative_to(root))
        for root in (one, other)
        for path in root.rglob("*")
        if path.is_file()
    }
    return sorted(
        file
        for file in files
        if not (
            (one / file).is_file()
            and (other / file).is_file()
            and filecmp.cmp(one / file, other / file, shallow=False)
        )
    )


def _is_of_a_wheel(path: str) -> bool:
    """Return whether a file is compiled code, or what a wheel says of itself and of it."""
    place = Path(path)
    return (
        ".so" in place.suffixes
        or ".libs" in path
        or any(part.endswith(".dist-info") for part in place.parts)
    )
