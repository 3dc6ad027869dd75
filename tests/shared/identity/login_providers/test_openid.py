"""Whether a login at an OpenID provider accepts the person, and none of the provider's lies."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from shared.core import clock
from shared.identity.errors import (
    LoginDenied,
    LoginNotProven,
    LoginProviderMisconfigured,
    LoginProviderUnavailable,
    LoginTooOld,
    Trouble,
)
from shared.identity.login_providers import description, keys, peer
from shared.identity.login_providers.base import Answer, Begun, Proven, Start
from shared.identity.login_providers.description import Overrides
from shared.identity.login_providers.openid import OpenIdLogin
from shared.identity.models import LoginProvider
from tests.answering import says, serving
from tests.conftest import Configure
from tests.fakes.openid_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    ISSUER,
    OpenIdProvider,
    elliptic_key,
    public_key,
)

START = Start("state-1", "https://roost.example/auth/oauth/GENERIC/callback")
LOGIN = OpenIdLogin(
    provider=LoginProvider.GENERIC,
    name="Example ID",
    issuer=ISSUER,
    client_id=CLIENT_ID,
    client_secret=CLIENT_SECRET,
)
Change = Callable[[OpenIdProvider], None]


class Clock:
    """Our clock, which the provider shares."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = datetime(2026, 12, 1, 12, 0, 0, 900_000, tzinfo=UTC)
        monkeypatch.setattr(clock, "now", lambda: self.now)

    def seconds(self) -> float:
        return self.now.timestamp()


@pytest.fixture(name="time")
def _time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def provider(time: Clock) -> Iterator[OpenIdProvider]:
    with OpenIdProvider(now=time.seconds) as running:
        yield running


def sign_in(provider: OpenIdProvider, login: OpenIdLogin = LOGIN, **changes: Any) -> Proven:
    begun = login.begin(START)
    return login.finish(provider.consent(begun.url, **changes), begun.remember)


class TestBegin:
    def test_address_asks_for_a_code_with_state_nonce_and_pkce(
        self, provider: OpenIdProvider
    ) -> None:
        begun = LOGIN.begin(START)
        url = httpx.URL(begun.url)
        assert f"{url.scheme}://{url.host}{url.path}" == f"{ISSUER}/authorize"
        query = {name: values[0] for name, values in parse_qs(url.query.decode()).items()}
        assert query.pop("nonce") == begun.remember["nonce"]
        assert len(query.pop("code_challenge")) == 43
        assert query == {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": START.redirect_uri,
            "scope": "openid profile email",
            "state": "state-1",
            "code_challenge_method": "S256",
        }

    def test_the_verifier_stays_with_us(self, provider: OpenIdProvider) -> None:
        begun = LOGIN.begin(START)
        assert len(begun.remember["verifier"]) >= 43
        assert begun.remember["verifier"] not in begun.url

    def test_every_login_has_its_own_nonce_and_verifier(self, provider: OpenIdProvider) -> None:
        one, other = LOGIN.begin(START).remember, LOGIN.begin(START).remember
        assert one["nonce"] != other["nonce"]
        assert one["verifier"] != other["verifier"]

    def test_the_parameters_of_the_providers_own_address_stay(
        self, provider: OpenIdProvider
    ) -> None:
        provider.description["authorization_endpoint"] = f"{ISSUER}/authorize?tenant=a"
        assert "tenant=a&" in LOGIN.begin(START).url

    def test_openid_is_always_among_the_scopes(self, provider: OpenIdProvider) -> None:
        url = replace(LOGIN, scope="email groups").begin(START).url
        assert parse_qs(httpx.URL(url).query.decode())["scope"] == ["openid email groups"]

    def test_own_addresses_replace_the_described_ones(self, provider: OpenIdProvider) -> None:
        login = replace(LOGIN, overrides=Overrides(authorization_url="https://login.example/in"))
        assert login.begin(START).url.startswith("https://login.example/in?")

    @pytest.mark.parametrize(
        "address", ["javascript:alert(1)", "http://id.example/in", "https://10.0.0.1/", 7, None]
    )
    def test_a_page_that_must_not_be_opened_is_refused(
        self, provider: OpenIdProvider, address: object
    ) -> None:
        provider.description["authorization_endpoint"] = address
        with pytest.raises(LoginProviderMisconfigured, match="Example ID is not set up"):
            LOGIN.begin(START)

    def test_the_description_is_kept_for_an_hour(
        self, provider: OpenIdProvider, time: Clock
    ) -> None:
        for minutes in (0, 30, 29):
            time.now += timedelta(minutes=minutes)
            LOGIN.begin(START)
        assert provider.count(description.PATH) == 1
        time.now += timedelta(minutes=1)
        LOGIN.begin(START)
        assert provider.count(description.PATH) == 2

    def test_only_some_descriptions_are_kept(
        self, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(description, "MOST_KEPT", 1)
        for path in ("/a", "/b", "/a"):
            provider.description["issuer"] = f"{ISSUER}{path}"
            replace(LOGIN, issuer=f"{ISSUER}{path}").begin(START)
        assert provider.asked == [f"{path}{description.PATH}" for path in ("/a", "/b", "/a")]


class TestTheDescription:
    @pytest.mark.parametrize("named", [f"{ISSUER}/", "https://ID.example", "https://other.example"])
    def test_it_must_be_of_the_very_same_issuer(self, provider: OpenIdProvider, named: str) -> None:
        provider.description["issuer"] = named
        with pytest.raises(LoginProviderMisconfigured) as refused:
            LOGIN.begin(START)
        assert refused.value.reason == "other_issuer"

    def test_an_issuer_may_end_with_a_slash(self, provider: OpenIdProvider) -> None:
        provider.issuer = provider.description["issuer"] = f"{ISSUER}/tenant/"
        assert sign_in(provider, replace(LOGIN, issuer=f"{ISSUER}/tenant/")).subject
        assert provider.asked[0] == f"/tenant{description.PATH}"

    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(404),
            httpx.Response(302, headers={"location": "https://169.254.169.254/latest/"}),
            httpx.Response(307, headers={"location": "https://id.example/elsewhere"}),
        ],
    )
    def test_one_that_is_elsewhere_is_not_followed(
        self, provider: OpenIdProvider, answer: httpx.Response
    ) -> None:
        provider.instead[description.PATH] = lambda _request: answer
        with pytest.raises(LoginProviderMisconfigured):
            LOGIN.begin(START)
        assert provider.asked == [description.PATH]

    @pytest.mark.parametrize(
        "endpoint", ["token_endpoint", "jwks_uri", "userinfo_endpoint", "authorization_endpoint"]
    )
    @pytest.mark.parametrize(
        "address", ["https://127.0.0.1/x", "https://169.254.169.254/x", "https://localhost/x"]
    )
    def test_it_does_not_lead_into_a_private_network(
        self, provider: OpenIdProvider, endpoint: str, address: str
    ) -> None:
        provider.description[endpoint] = address
        with pytest.raises(LoginProviderMisconfigured):
            LOGIN.begin(START)

    @pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"issuer":', b"\xff"])
    def test_one_that_cannot_be_read_is_refused(
        self, provider: OpenIdProvider, body: bytes
    ) -> None:
        provider.instead[description.PATH] = lambda _request: httpx.Response(200, content=body)
        with pytest.raises(LoginProviderUnavailable, match="cannot be read"):
            LOGIN.begin(START)


class TestFinish:
    def test_person_is_who_the_id_token_says(self, provider: OpenIdProvider) -> None:
        assert sign_in(provider) == Proven(
            provider=LoginProvider.GENERIC,
            issuer=ISSUER,
            subject="248289761001",
            email="ada@example.com",
            email_verified=True,
            name="Ada Lovelace",
        )
        assert provider.count("/userinfo") == 0

    def test_secret_goes_in_the_form_where_the_provider_takes_it(
        self, provider: OpenIdProvider
    ) -> None:
        provider.description["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
        assert sign_in(provider).subject

    def test_public_client_sends_its_id_alone(self, provider: OpenIdProvider) -> None:
        sent: list[httpx.Request] = []

        def refuse(request: httpx.Request) -> httpx.Response:
            sent.append(request)
            return httpx.Response(400, json={"error": "invalid_grant"})

        provider.instead["/token"] = refuse
        with pytest.raises(LoginNotProven):
            sign_in(provider, replace(LOGIN, client_secret=""))
        form = parse_qs(sent[0].content.decode())
        assert form["client_id"] == [CLIENT_ID]
        assert "client_secret" not in form
        assert "authorization" not in sent[0].headers

    def test_es256_is_accepted(self, provider: OpenIdProvider) -> None:
        provider.sign_with_the_curve()
        assert sign_in(provider).subject

    def test_key_that_names_no_algorithm_is_accepted(self, provider: OpenIdProvider) -> None:
        provider.keys = [public_key(alg="RS512")]
        with pytest.raises(LoginNotProven):
            sign_in(provider)
        keys.forget_keys()
        plain = public_key()
        del plain["alg"], plain["use"]
        provider.keys, provider.algorithm = [plain], "PS384"
        assert sign_in(provider).subject

    def test_answer_that_names_the_issuer_is_accepted(self, provider: OpenIdProvider) -> None:
        provider.description["authorization_response_iss_parameter_supported"] = True
        assert sign_in(provider, iss=ISSUER).subject

    @pytest.mark.parametrize("supported", [True, False])
    @pytest.mark.parametrize("iss", ["https://evil.example", f"{ISSUER}/", ""])
    def test_answer_of_another_issuer_is_refused_before_the_code_is_sent(
        self, provider: OpenIdProvider, iss: str, *, supported: bool
    ) -> None:
        provider.description["authorization_response_iss_parameter_supported"] = supported
        with pytest.raises(LoginNotProven) as refused:
            sign_in(provider, iss=iss)
        assert refused.value.reason == "answer_issuer"
        assert provider.count("/token") == 0

    def test_answer_must_name_the_issuer_where_the_provider_promises_it(
        self, provider: OpenIdProvider
    ) -> None:
        provider.description["authorization_response_iss_parameter_supported"] = True
        with pytest.raises(LoginNotProven):
            sign_in(provider)

    def test_who_refused_at_the_provider_reads_so(self, provider: OpenIdProvider) -> None:
        with pytest.raises(LoginDenied, match="did not allow Roost to sign you in with Example ID"):
            sign_in(provider, code="", error="access_denied")

    @pytest.mark.parametrize("changes", [{"code": ""}, {"error": "server_error"}])
    def test_answer_without_a_code_is_refused(
        self, provider: OpenIdProvider, changes: dict[str, Any]
    ) -> None:
        with pytest.raises(LoginNotProven):
            sign_in(provider, **changes)
        assert provider.count("/token") == 0

    def test_answer_after_ten_minutes_is_refused(
        self, provider: OpenIdProvider, time: Clock
    ) -> None:
        begun = LOGIN.begin(START)
        answer = provider.consent(begun.url)
        time.now += timedelta(minutes=10, seconds=1)
        with pytest.raises(LoginTooOld):
            LOGIN.finish(answer, begun.remember)
        assert provider.count("/token") == 0

    def test_answer_within_ten_minutes_is_accepted(
        self, provider: OpenIdProvider, time: Clock
    ) -> None:
        begun = LOGIN.begin(START)
        time.now += timedelta(minutes=9, seconds=59)
        assert LOGIN.finish(provider.consent(begun.url), begun.remember).subject

    def test_code_of_another_login_is_refused(self, provider: OpenIdProvider) -> None:
        begun, other = LOGIN.begin(START), LOGIN.begin(START)
        answer = provider.consent(other.url)
        with pytest.raises(LoginNotProven) as refused:
            LOGIN.finish(
                answer, {**begun.remember, "verifier": other.remember["verifier"]}
            )  # even with its verifier
        assert refused.value.reason == "nonce"

    def test_code_works_once(self, provider: OpenIdProvider) -> None:
        begun = LOGIN.begin(START)
        answer = provider.consent(begun.url)
        LOGIN.finish(answer, begun.remember)
        with pytest.raises(LoginNotProven) as refused:
            LOGIN.finish(answer, begun.remember)
        assert refused.value.reason == "code"

    @pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client"])
    @pytest.mark.parametrize("status", [400, 401, 200])
    def test_refused_client_is_the_operators_fault(
        self, provider: OpenIdProvider, error: str, status: int
    ) -> None:
        provider.instead["/token"] = lambda _request: httpx.Response(status, json={"error": error})
        with pytest.raises(LoginProviderMisconfigured):
            sign_in(provider)

    @pytest.mark.parametrize("status", [404, 405, 418])
    def test_any_other_refusal_proves_nothing(self, provider: OpenIdProvider, status: int) -> None:
        provider.instead["/token"] = lambda _request: httpx.Response(status, text="no")
        with pytest.raises(LoginNotProven):
            sign_in(provider)

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_provider_in_trouble_is_unavailable(
        self, provider: OpenIdProvider, status: int
    ) -> None:
        provider.instead["/token"] = lambda _request: httpx.Response(status)
        with pytest.raises(LoginProviderUnavailable, match="Example ID is not available"):
            sign_in(provider)

    def test_the_refusal_tells_the_log_and_not_the_member(
        self, provider: OpenIdProvider, log_lines: Any
    ) -> None:
        provider.claims["aud"] = "another client"
        with pytest.raises(LoginNotProven) as refused:
            sign_in(provider)
        assert "audience" not in refused.value.message
        line = json.loads(log_lines.getvalue().splitlines()[-1])
        assert (line["message"], line["reason"]) == ("login.not_proven", "audience")
        assert "248289761001" not in log_lines.getvalue()


def _key_with_another_id(provider: OpenIdProvider) -> None:
    provider.header = {"kid": "unknown"}


def _strangers_key(provider: OpenIdProvider) -> None:
    provider.sign_with_a_strangers_key()


def _unsigned(provider: OpenIdProvider) -> None:
    provider.algorithm = "none"


def _public_key_as_secret(provider: OpenIdProvider) -> None:
    provider.algorithm = "HS256"


def _public_key_as_secret_that_is_listed(provider: OpenIdProvider) -> None:
    provider.algorithm = "HS256"
    provider.keys = [{"kty": "oct", "k": "c2VjcmV0", "kid": "first", "alg": "HS256"}]


def _encryption_key(provider: OpenIdProvider) -> None:
    provider.keys = [public_key(use="enc")]


def _key_of_another_algorithm(provider: OpenIdProvider) -> None:
    provider.keys = [public_key(alg="PS256")]


def _two_keys_with_one_id(provider: OpenIdProvider) -> None:
    provider.keys = [public_key(), public_key()]


def _broken_key(provider: OpenIdProvider) -> None:
    provider.keys = [public_key(n=5)]


def _critical_extension(provider: OpenIdProvider) -> None:
    provider.header = {"kid": "first", "crit": ["exp"]}


def _own_key_in_the_header(provider: OpenIdProvider) -> None:
    provider.sign_with_a_strangers_key()
    provider.header = {"kid": "first", "jku": "https://evil.example/keys", "jwk": public_key()}


def _curve_point_off_the_curve(provider: OpenIdProvider) -> None:
    provider.sign_with_the_curve()
    provider.keys = [elliptic_key(y=elliptic_key()["x"])]


class TestLies:
    @pytest.mark.parametrize(
        "lie",
        [
            _key_with_another_id,
            _strangers_key,
            _unsigned,
            _public_key_as_secret,
            _public_key_as_secret_that_is_listed,
            _encryption_key,
            _key_of_another_algorithm,
            _two_keys_with_one_id,
            _broken_key,
            _critical_extension,
            _own_key_in_the_header,
            _curve_point_off_the_curve,
        ],
    )
    def test_signature_that_proves_nothing_is_refused(
        self, provider: OpenIdProvider, lie: Change
    ) -> None:
        lie(provider)
        with pytest.raises(LoginNotProven):
            sign_in(provider)

    @pytest.mark.parametrize(
        ("claims", "reason"),
        [
            ({"iss": f"{ISSUER}/"}, "issuer"),
            ({"iss": "https://ID.example"}, "issuer"),
            ({"iss": None}, "issuer"),
            ({"iss": [ISSUER]}, "issuer"),
            ({"aud": "another client"}, "audience"),
            ({"aud": [f"{CLIENT_ID}x", f"x{CLIENT_ID}"], "azp": CLIENT_ID}, "audience"),
            ({"aud": f"{CLIENT_ID} another"}, "audience"),
            ({"aud": None}, "audience"),
            ({"aud": {CLIENT_ID: 1}}, "audience"),
            ({"aud": [CLIENT_ID, "another"]}, "authorized_party"),
            ({"aud": [CLIENT_ID, "another"], "azp": "another"}, "authorized_party"),
            ({"azp": "another"}, "authorized_party"),
            ({"nonce": "another"}, "nonce"),
            ({"nonce": "nönce"}, "nonce"),
            ({"nonce": None}, "nonce"),
            ({"nonce": 7}, "nonce"),
            ({"exp": None}, "expiry"),
            ({"exp": "4102444800"}, "expiry"),
            ({"exp": True}, "expiry"),
            ({"exp": float("nan")}, "expiry"),
            ({"iat": None}, "issued_at"),
            ({"iat": "1"}, "issued_at"),
            ({"iat": 0}, "issued_at"),
            ({"nbf": "1"}, "not_before"),
            ({"sub": None}, "subject"),
            ({"sub": ""}, "subject"),
            ({"sub": "x" * 256}, "subject"),
            ({"sub": 5}, "subject"),
            ({"sub": "line\nbreak"}, "subject"),
        ],
    )
    def test_claim_that_is_not_as_it_must_be_is_refused(
        self, provider: OpenIdProvider, claims: dict[str, Any], reason: str
    ) -> None:
        provider.claims |= claims
        with pytest.raises(LoginNotProven) as refused:
            sign_in(provider)
        assert refused.value.reason == reason
        assert provider.count("/userinfo") == 0

    @pytest.mark.parametrize(
        ("claim", "seconds", "accepted"),
        [
            ("exp", -59, True),
            ("exp", -61, False),
            ("iat", 59, True),
            ("iat", 61, False),
            ("iat", -59, True),
            ("iat", -62, False),
            ("nbf", 59, True),
            ("nbf", 61, False),
        ],
    )
    def test_clocks_may_differ_by_a_minute(
        self, provider: OpenIdProvider, time: Clock, claim: str, seconds: int, *, accepted: bool
    ) -> None:
        provider.claims[claim] = int(time.seconds()) + seconds
        if accepted:
            assert sign_in(provider).subject
        else:
            with pytest.raises(LoginNotProven):
                sign_in(provider)

    def test_several_audiences_need_us_as_authorized_party(self, provider: OpenIdProvider) -> None:
        provider.claims |= {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID}
        assert sign_in(provider).subject

    @pytest.mark.parametrize(
        "token", [None, "", "a.b", "a.b.c", "....", 7, {}, "e30.e30.", "bnVsbA.bnVsbA.bnVsbA"]
    )
    def test_what_is_no_token_is_refused(self, provider: OpenIdProvider, token: object) -> None:
        body = {"access_token": "access", "id_token": token}
        provider.instead["/token"] = lambda _request: httpx.Response(200, json=body)
        with pytest.raises(LoginNotProven):
            sign_in(provider)

    def test_weak_key_is_refused(self, provider: OpenIdProvider) -> None:
        from cryptography.hazmat.primitives.asymmetric import rsa
        from jwt.algorithms import RSAAlgorithm

        weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        provider.keys = [{**RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True), "kid": "first"}]
        with pytest.raises(LoginNotProven) as refused:
            sign_in(provider)
        assert refused.value.reason == "key_length"


class TestAddress:
    @pytest.mark.parametrize("mark", [False, None, "false", "True", 1, "yes"])
    def test_unverified_address_stays_unverified(
        self, provider: OpenIdProvider, mark: object
    ) -> None:
        provider.claims["email_verified"] = mark
        provider.userinfo = {"sub": "248289761001"}
        proven = sign_in(provider)
        assert (proven.email, proven.email_verified) == ("ada@example.com", False)

    def test_word_true_counts_as_verified(self, provider: OpenIdProvider) -> None:
        provider.claims["email_verified"] = "true"
        assert sign_in(provider).email_verified

    def test_address_comes_from_userinfo_of_the_same_subject(
        self, provider: OpenIdProvider
    ) -> None:
        provider.claims |= {"email": None, "email_verified": None, "name": None}
        provider.userinfo |= {
            "email": "ada@example.org",
            "email_verified": True,
            "preferred_username": "ada",
        }
        proven = sign_in(provider)
        assert (proven.email, proven.email_verified) == ("ada@example.org", True)
        assert proven.name == "ada"

    @pytest.mark.parametrize("subject", ["another", None, 248289761001])
    def test_userinfo_of_another_subject_is_refused(
        self, provider: OpenIdProvider, subject: object
    ) -> None:
        provider.claims |= {"email": None, "email_verified": None}
        provider.userinfo |= {"sub": subject, "email": "eve@example.org", "email_verified": True}
        with pytest.raises(LoginNotProven) as refused:
            sign_in(provider)
        assert refused.value.reason == "userinfo_subject"

    def test_mark_of_userinfo_is_not_for_the_id_tokens_address(
        self, provider: OpenIdProvider
    ) -> None:
        provider.claims |= {"email": "ada@example.com", "email_verified": None}
        provider.userinfo |= {"email_verified": True}
        proven = sign_in(provider)
        assert (proven.email, proven.email_verified) == ("ada@example.com", False)

    def test_mark_of_the_id_token_is_not_for_userinfos_address(
        self, provider: OpenIdProvider
    ) -> None:
        provider.claims |= {"email": None, "email_verified": True}
        provider.userinfo |= {"email": "eve@example.org"}
        proven = sign_in(provider)
        assert (proven.email, proven.email_verified) == ("eve@example.org", False)

    @pytest.mark.parametrize("value", ["not an address", "", 7, "a@b", ["ada@example.com"], None])
    def test_what_is_no_address_is_left_out(self, provider: OpenIdProvider, value: object) -> None:
        provider.claims |= {"email": value, "email_verified": True}
        proven = sign_in(provider)
        assert (proven.email, proven.email_verified) == (None, False)

    def test_provider_without_userinfo_may_vouch_for_none(self, provider: OpenIdProvider) -> None:
        del provider.description["userinfo_endpoint"]
        provider.claims |= {"email": None, "email_verified": None}
        assert sign_in(provider).email is None

    def test_userinfo_that_fails_is_no_login(self, provider: OpenIdProvider) -> None:
        provider.claims |= {"email": None, "email_verified": None}
        provider.instead["/userinfo"] = lambda _request: httpx.Response(403)
        with pytest.raises(LoginProviderUnavailable):
            sign_in(provider)

    def test_name_is_cleaned(self, provider: OpenIdProvider) -> None:
        provider.claims["name"] = "\u202eAda\n" + "x" * 5_000
        assert sign_in(provider).name.startswith("Ada x")
        assert len(sign_in(provider).name) <= 200


class TestKeys:
    def test_keys_are_kept_for_an_hour(self, provider: OpenIdProvider, time: Clock) -> None:
        for minutes in (0, 30, 29):
            time.now += timedelta(minutes=minutes)
            sign_in(provider)
        assert provider.count("/keys") == 1
        time.now += timedelta(minutes=1)
        sign_in(provider)
        assert provider.count("/keys") == 2

    def test_new_key_is_found(self, provider: OpenIdProvider, time: Clock) -> None:
        sign_in(provider)
        provider.keys, provider.header = [public_key("second")], {"kid": "second"}
        time.now += timedelta(minutes=1)
        assert sign_in(provider).subject
        assert provider.count("/keys") == 2

    def test_unknown_key_is_looked_up_once_a_minute(
        self, provider: OpenIdProvider, time: Clock
    ) -> None:
        sign_in(provider)
        provider.header = {"kid": "unknown"}
        for seconds, asked in ((59, 1), (1, 2), (59, 2), (1, 3)):
            time.now += timedelta(seconds=seconds)
            with pytest.raises(LoginNotProven):
                sign_in(provider)
            assert provider.count("/keys") == asked

    def test_failed_look_up_counts_too(self, provider: OpenIdProvider, time: Clock) -> None:
        sign_in(provider)
        provider.header = {"kid": "unknown"}
        provider.instead["/keys"] = lambda _request: httpx.Response(500)
        time.now += timedelta(minutes=1)
        with pytest.raises(LoginProviderUnavailable):
            sign_in(provider)
        with pytest.raises(LoginNotProven):
            sign_in(provider)
        assert provider.count("/keys") == 2

    def test_withdrawn_key_is_refused_after_an_hour(
        self, provider: OpenIdProvider, time: Clock
    ) -> None:
        sign_in(provider)
        provider.keys = [elliptic_key()]
        time.now += timedelta(hours=1)
        with pytest.raises(LoginNotProven):
            sign_in(provider)

    def test_token_that_names_no_key_takes_the_only_one(self, provider: OpenIdProvider) -> None:
        provider.header = {}
        assert sign_in(provider).subject
        keys.forget_keys()
        provider.keys = [public_key("first"), public_key("second")]
        with pytest.raises(LoginNotProven):
            sign_in(provider)

    def test_keys_of_five_megabytes_are_not_read(self, provider: OpenIdProvider) -> None:
        body = json.dumps({"keys": [public_key(), {"x": "y" * 5 * 1024**2}]}).encode()
        provider.instead["/keys"] = lambda _request: httpx.Response(200, content=body)
        with pytest.raises(LoginProviderUnavailable, match="cannot be read"):
            sign_in(provider)

    @pytest.mark.parametrize("body", [{}, {"keys": {}}, {"keys": "x"}, {"error": "none"}])
    def test_what_is_no_key_set_is_refused(self, provider: OpenIdProvider, body: Any) -> None:
        provider.instead["/keys"] = lambda _request: httpx.Response(200, json=body)
        with pytest.raises(LoginProviderUnavailable, match="cannot be read"):
            sign_in(provider)

    def test_entries_that_are_no_keys_are_passed_over(self, provider: OpenIdProvider) -> None:
        provider.keys = [None, 7, {}, {"kty": "XYZ", "kid": "first"}, public_key()]
        assert sign_in(provider).subject

    def test_only_some_key_sets_are_kept(
        self, provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keys, "MOST_KEPT", 1)
        sign_in(provider)
        keys._read(peer.Peer(LoginProvider.GENERIC, "x"), f"{ISSUER}/keys?other")
        sign_in(provider)
        assert provider.count("/keys") == 3


class TestServersThatMisbehave:
    """On this machine, over real connections."""

    @pytest.fixture(autouse=True)
    def _loopback(self, configure: Configure) -> Iterator[None]:
        configure(ALLOW_LOOPBACK_ADDRESSES="true")
        description.forget_descriptions()
        keys.forget_keys()
        yield
        peer._client().close()  # a kept connection
        peer._client.cache_clear()
        description.forget_descriptions()
        keys.forget_keys()

    def test_token_endpoint_that_hangs_is_named_after_the_time_limit(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(peer, "MAX_TIME", timedelta(seconds=1.1))
        over = threading.Event()

        def answer(request: BaseHTTPRequestHandler) -> None:
            if request.command == "POST":
                over.wait(30)
                return
            own = f"http://{request.headers['host']}"
            body = {
                "issuer": own,
                **dict.fromkeys(
                    ("authorization_endpoint", "token_endpoint", "jwks_uri"), f"{own}/x"
                ),
            }
            says(json.dumps(body).encode())(request)

        with serving(answer) as url:
            login = replace(LOGIN, issuer=url.rstrip("/"))
            begun = login.begin(START)
            try:
                with pytest.raises(
                    LoginProviderUnavailable, match="did not answer within 10 seconds"
                ):
                    login.finish(Answer(code="code"), begun.remember)
            finally:
                over.set()

    def test_redirect_to_another_server_is_not_followed(self) -> None:
        asked: list[str] = []

        def secret(request: BaseHTTPRequestHandler) -> None:
            asked.append(request.path)
            says(b"{}")(request)

        with (
            serving(secret) as inner,
            serving(says(b"", {"location": inner}, status=302)) as outer,
            pytest.raises(LoginProviderMisconfigured),
        ):
            replace(LOGIN, issuer=outer.rstrip("/")).begin(START)
        assert asked == []

    def test_server_that_is_not_there_is_named(self) -> None:
        with serving(says(b"")) as url:
            pass
        with pytest.raises(LoginProviderUnavailable, match="Example ID cannot be reached"):
            replace(LOGIN, issuer=url.rstrip("/")).begin(START)


def test_name_that_resolves_to_a_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The text of the address is innocent; only the connection shows where it leads."""
    description.forget_descriptions()
    monkeypatch.setattr(
        "socket.getaddrinfo", lambda *_given, **_named: [(2, 1, 6, "", ("10.0.0.7", 443))]
    )
    with pytest.raises(LoginProviderMisconfigured):
        replace(LOGIN, issuer="https://rebound.example").begin(START)


def test_nothing_secret_is_shown() -> None:
    begun = Begun("https://id.example/?state=hidden", {"verifier": "hidden"})
    shown = repr([LOGIN, START, Answer(code="hidden"), begun])
    assert CLIENT_SECRET not in shown
    assert "hidden" not in shown
    assert "state-1" not in shown


def test_the_time_limit_that_is_named_is_the_one_that_is_kept() -> None:
    assert f"{peer.MAX_TIME.total_seconds():.0f} seconds" in Trouble.SILENT
