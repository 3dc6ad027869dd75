"""Whether a login with a wallet belongs to who signed our nonce for this site, now, with a key of their own."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from shared.core import clock
from shared.core.errors import AppError
from shared.identity.errors import (
    ContractWalletRefused,
    LoginCodeRefused,
    LoginDenied,
    LoginNotProven,
    LoginTooOld,
    WalletAddressRefused,
    WalletAnswerRefused,
    WalletChainRefused,
)
from shared.identity.login_providers import base58, ethereum
from shared.identity.login_providers.base import Answer, Proven, Start
from shared.identity.login_providers.signed_message import read_message
from shared.identity.login_providers.wallet import WalletLogin
from shared.identity.models import LoginProvider
from tests.conftest import Configure
from tests.providers.published import FOLDER, needs_descriptions

VECTORS: list[dict[str, str]] = json.loads(
    (Path(__file__).parents[3] / "vectors" / "wallets.json").read_text()
)["vectors"]
PUBLISHED = FOLDER / "web3-login" / "siwe-vectors.json"
LOGIN = WalletLogin()
NOW = datetime(2026, 11, 22, 12, 1, tzinfo=UTC)
REMEMBERED = {"nonce": "abcdefgh12345", "begun_at": str(int(NOW.timestamp()) - 60)}
ETHEREUM = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"  # EIP-55
SOLANA = (
    "GwAF45zjfyGzUbd3i3hXxzGeuchzEZXwpRYHZM5912F1"  # namespaces.chainagnostic.org/solana/caip10
)
VERDICTS: Mapping[str, type[AppError]] = {
    "too old": LoginTooOld,
    "chain": WalletChainRefused,
    "contract": ContractWalletRefused,
    "unreadable": WalletAnswerRefused,
}


class Clock:
    def __init__(self) -> None:
        self.now = NOW


@pytest.fixture(name="time", autouse=True)
def _time(monkeypatch: pytest.MonkeyPatch, configure: Configure) -> Clock:
    configure(PUBLIC_URL="https://app.example.com", FRONTEND_URL="")
    held = Clock()
    monkeypatch.setattr(clock, "now", lambda: held.now)
    return held


def code(message: str, signature: str) -> str:
    return json.dumps({"message": message, "signature": signature})


def judge(message: str, signature: str) -> Proven:
    return LOGIN.finish(Answer(code=code(message, signature)), REMEMBERED)


class TestVectors:
    @pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["name"]))
    def test_ours(self, vector: dict[str, str]) -> None:
        verdict = vector["verdict"]
        if verdict == "accepted":
            proven = judge(vector["message"], vector["signature"])
            assert proven.subject == vector["address"]
        elif verdict in VERDICTS:
            with pytest.raises(VERDICTS[verdict]):
                judge(vector["message"], vector["signature"])
        else:
            with pytest.raises(LoginNotProven) as refused:
                judge(vector["message"], vector["signature"])
            assert refused.value.reason == verdict

    @needs_descriptions
    def test_those_made_with_another_library(self) -> None:
        found = {}
        for vector in json.loads(PUBLISHED.read_text())["vectors"]:
            try:
                found[vector["name"]] = judge(vector["message"], vector["signature"]).subject
            except LoginNotProven as refused:
                found[vector["name"]] = refused.reason
        assert found == {
            "good": "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
            "other signer": "signature",
            "wrong domain": "domain",
            "expired": "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
            "not before": "not_before",
            "other nonce": "nonce",
        }

    @needs_descriptions
    def test_the_expired_one_is_refused_from_its_time_on(self, time: Clock) -> None:
        vectors = {one["name"]: one for one in json.loads(PUBLISHED.read_text())["vectors"]}
        expired = vectors["expired"]
        time.now = NOW.replace(minute=4, second=59)
        assert judge(expired["message"], expired["signature"]).subject
        time.now = NOW.replace(minute=5, second=0)
        with pytest.raises(LoginTooOld):
            judge(expired["message"], expired["signature"])


class TestBegin:
    def test_text_is_for_this_site_with_a_new_nonce(self) -> None:
        begun = LOGIN.begin(Start("state", "", ETHEREUM.lower()))
        assert begun.url == (
            "app.example.com wants you to sign in with your Ethereum account:\n"
            f"{ETHEREUM}\n\nSign in to Roost. This costs nothing.\n\n"
            "URI: https://app.example.com/app\nVersion: 1\nChain ID: 1\n"
            f"Nonce: {begun.remember['nonce']}\n"
            "Issued At: 2026-11-22T12:01:00Z\nExpiration Time: 2026-11-22T12:11:00Z"
        )
        assert len(begun.remember["nonce"]) == 32
        assert begun.remember["nonce"] != LOGIN.begin(Start("s", "", ETHEREUM)).remember["nonce"]

    def test_solana_wallet_gets_solanas_text(self) -> None:
        message = read_message(LOGIN.begin(Start("state", "", SOLANA)).url)
        assert (message.account, message.address, message.chain_id) == (
            "Solana",
            SOLANA,
            "mainnet",
        )

    @pytest.mark.parametrize(
        "address",
        [
            "",
            "0x",
            "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            ETHEREUM[2:],
            f"{ETHEREUM}0",
            "vitalik.eth",
            f"{SOLANA}1",
            f" {SOLANA}",
            "1" * 31,
            "l" * 44,
        ],
    )
    def test_what_is_no_address_is_refused(self, address: str) -> None:
        with pytest.raises(WalletAddressRefused) as refused:
            LOGIN.begin(Start("state", "", address))
        assert refused.value.problems[0].path == "publicKey"

    def test_console_on_a_host_of_its_own_is_what_the_wallet_shows(
        self, configure: Configure
    ) -> None:
        configure(FRONTEND_URL="https://console.example.com:8443/x/")
        message = read_message(LOGIN.begin(Start("state", "", SOLANA)).url)
        assert (message.domain, message.uri) == (
            "console.example.com:8443",
            "https://console.example.com:8443/x",
        )


class Wallet:
    """A Solana wallet that signs what it is shown."""

    def __init__(self, seed: bytes = b"s" * 32) -> None:
        self.key = Ed25519PrivateKey.from_private_bytes(seed)
        raw = self.key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        self.address = base58.encode(raw)

    def sign(self, text: str) -> str:
        return base58.encode(self.key.sign(text.encode()))


class TestFinish:
    def test_owner_is_the_address_at_its_chain(self) -> None:
        wallet = Wallet()
        begun = LOGIN.begin(Start("state", "", wallet.address))
        answer = Answer(code=code(begun.url, wallet.sign(begun.url)))
        assert LOGIN.finish(answer, begun.remember) == Proven(
            provider=LoginProvider.WALLET,
            issuer="solana:mainnet",
            subject=wallet.address,
            name=f"{wallet.address[:6]}…{wallet.address[-4:]}",
        )

    def test_ethereum_has_another_issuer(self) -> None:
        accepted = next(one for one in VECTORS if one["name"] == "ethereum: as it must be")
        assert judge(accepted["message"], accepted["signature"]).issuer == "eip155:1"

    def test_code_may_be_in_base64(self) -> None:
        wallet = Wallet()
        begun = LOGIN.begin(Start("state", "", wallet.address))
        plain = code(begun.url, wallet.sign(begun.url))
        answer = Answer(code=base64.b64encode(plain.encode()).decode())
        assert LOGIN.finish(answer, begun.remember).subject == wallet.address

    @pytest.mark.parametrize(
        "given_code",
        [
            "",
            "{}",
            "[]",
            "not base64!",
            '{"message": "a"}',
            '{"message": "a", "signature": 7}',
            '{"message": "", "signature": "b"}',
            "{" * 5_000,
            "e30=",
            json.dumps({"message": "a", "signature": "b" * 20_000}),
            base64.b64encode(b"\xff\xfe").decode(),
        ],
    )
    def test_code_of_another_form_is_refused(self, given_code: str) -> None:
        with pytest.raises(LoginCodeRefused, match="JSON with message and signature"):
            LOGIN.finish(Answer(code=given_code), REMEMBERED)

    def test_nonce_of_another_login_is_refused(self) -> None:
        wallet = Wallet()
        one, other = (LOGIN.begin(Start("state", "", wallet.address)) for _ in range(2))
        answer = Answer(code=code(one.url, wallet.sign(one.url)))
        with pytest.raises(LoginNotProven) as refused:
            LOGIN.finish(answer, other.remember)
        assert refused.value.reason == "nonce"

    def test_answer_after_ten_minutes_is_refused(self, time: Clock) -> None:
        wallet = Wallet()
        begun = LOGIN.begin(Start("state", "", wallet.address))
        answer = Answer(code=code(begun.url, wallet.sign(begun.url)))
        time.now += timedelta(minutes=9, seconds=59)
        assert LOGIN.finish(answer, begun.remember).subject
        time.now += timedelta(seconds=2)
        with pytest.raises(LoginTooOld):
            LOGIN.finish(answer, begun.remember)

    @pytest.mark.parametrize("public", ["https://app.example.com", "https://api.example.com"])
    def test_text_for_the_console_or_the_api_is_accepted(
        self, configure: Configure, public: str
    ) -> None:
        configure(PUBLIC_URL=public, FRONTEND_URL="https://app.example.com/x")
        accepted = next(one for one in VECTORS if one["name"] == "solana: as it must be")
        assert judge(accepted["message"], accepted["signature"]).subject

    def test_other_address_than_the_one_that_began_may_sign(self) -> None:
        """People switch accounts in their wallet; who signed is who signs in."""
        wallet = Wallet(b"t" * 32)
        begun = LOGIN.begin(Start("state", "", SOLANA))
        text = begun.url.replace(SOLANA, wallet.address)
        answer = Answer(code=code(text, wallet.sign(text)))
        assert LOGIN.finish(answer, begun.remember).subject == wallet.address

    def test_who_refused_in_the_wallet_reads_so(self) -> None:
        with pytest.raises(LoginDenied, match="your wallet"):
            LOGIN.finish(Answer(error="rejected"), REMEMBERED)

    @given(st.text(max_size=60), st.text(max_size=60))
    def test_nothing_else_comes_through(self, message: str, signature: str) -> None:
        with pytest.raises(AppError):
            judge(message, signature)


class TestChecksumAddress:
    # The examples of EIP-55.
    @pytest.mark.parametrize(
        "address",
        [
            "0x52908400098527886E0F7030069857D2E4169EE7",
            "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
            "0xde709f2102306220921060314715629080e2fb77",
            "0x27b1fdb04752bbc536007a920d24acb045561c26",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        ],
    )
    def test_published_addresses(self, address: str) -> None:
        assert ethereum.checksum_address(address) == address
        assert ethereum.checksum_address(address.lower()) == address
        assert ethereum.checksum_address(f"0x{address[2:].upper()}") == address
        swapped = address[:2] + address[2:].swapcase()
        if swapped[2:].lower() != swapped[2:] and swapped[2:].upper() != swapped[2:]:
            assert ethereum.checksum_address(swapped) is None


def test_signature_that_recovers_no_key_is_nobodys() -> None:
    # r is a coordinate of no point of the curve (secp256k1): 5 has none.
    assert ethereum.signer("text", "0x" + f"{5:064x}" + f"{1:064x}" + "1b") is None
