"""Signs in with a wallet: its owner signs a text with our nonce, on Ethereum (EIP-4361) or Solana (CAIP-122).

The subject is the address. A wallet that is a contract (EIP-1271) is refused, because only a node of its chain could check it.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import httpx

from shared.core import clock
from shared.core.config import settings
from shared.identity.errors import (
    ContractWalletRefused,
    LoginDenied,
    LoginTooOld,
    WalletAddressRefused,
    WalletAnswerRefused,
    WalletChainRefused,
)
from shared.identity.login_providers import ethereum, solana
from shared.identity.login_providers.base import (
    ANSWER_LIFE,
    LEEWAY,
    Answer,
    Begun,
    Doubt,
    Proven,
    Start,
    began_at,
    begun_now,
    not_proven,
    read_code,
)
from shared.identity.login_providers.signed_message import (
    MessageUnreadable,
    SignInMessage,
    read_message,
    read_time,
)
from shared.identity.models import LoginProvider

STATEMENT = "Sign in to Roost. This costs nothing."
ETHEREUM, SOLANA = "Ethereum", "Solana"
CHAINS: Mapping[str, str] = {ETHEREUM: ethereum.CHAIN_ID, SOLANA: solana.CHAIN_ID}
"""The chain id that a message must have, by the kind of account."""
CHAIN_NAMES: Mapping[str, str] = {ETHEREUM: "Ethereum Mainnet", SOLANA: "Solana Mainnet"}
ISSUERS: Mapping[str, str] = {ETHEREUM: "eip155:1", SOLANA: "solana:mainnet"}
"""What takes the place of an issuer, by the kind of account."""
_NONCE_BYTES = 16


@dataclass(frozen=True, slots=True)
class WalletLogin:
    """A login with the key of a wallet."""

    provider: LoginProvider = LoginProvider.WALLET
    name: str = "your wallet"

    def begin(self, start: Start) -> Begun:
        """Write the text to sign for the address `start.account`."""
        account, address = _account_of(start.account)
        nonce = secrets.token_hex(_NONCE_BYTES)
        url = httpx.URL(settings().console_url)
        now = clock.now()
        message = SignInMessage(
            domain=_domain(url),
            account=account,
            address=address,
            statement=STATEMENT,
            uri=str(url),
            chain_id=CHAINS[account],
            nonce=nonce,
            issued_at=_written(now),
            expiration_time=_written(now + ANSWER_LIFE),
        )
        return Begun(message.text(), {**begun_now(), "nonce": nonce})

    def finish(self, answer: Answer, remembered: Mapping[str, str]) -> Proven:
        """Check the signed text and who signed it."""
        began_at(remembered)
        if answer.error:
            raise LoginDenied(self.name)
        text, signature = read_code(answer.code, "message", "signature")
        try:
            message = read_message(text)
        except MessageUnreadable as error:
            raise WalletAnswerRefused(str(error)) from error
        self._check_origin(message)
        if not hmac.compare_digest(message.nonce, remembered["nonce"]):
            raise not_proven(self, Doubt.NONCE)
        if message.chain_id != CHAINS[message.account]:
            raise WalletChainRefused(CHAIN_NAMES[message.account])
        self._check_times(message)
        self._check_signature(message, text, signature)
        return Proven(
            provider=self.provider,
            issuer=ISSUERS[message.account],
            subject=message.address,
            name=f"{message.address[:6]}…{message.address[-4:]}",
        )

    def _check_origin(self, message: SignInMessage) -> None:
        """Check that the text is for one of our origins: a text for another site proves nothing to us."""
        ours = [httpx.URL(own) for own in (settings().console_url, settings().public_url)]
        fitting = [own for own in ours if _domain(own) == message.domain]
        if not fitting:
            raise not_proven(self, Doubt.DOMAIN, domain=message.domain[:200])
        schemes = {own.scheme for own in fitting}
        if message.scheme is not None and message.scheme not in schemes:
            raise not_proven(self, Doubt.SCHEME)
        try:
            url = httpx.URL(message.uri)
        except httpx.InvalidURL as error:
            raise not_proven(self, Doubt.URI) from error
        if _domain(url) != message.domain or url.scheme not in schemes or url.userinfo:
            raise not_proven(self, Doubt.URI)

    def _check_times(self, message: SignInMessage) -> None:
        now = clock.now()
        issued = read_time(message.issued_at)
        if issued > now + LEEWAY:
            raise not_proven(self, Doubt.ISSUED_AT)
        if now - issued > ANSWER_LIFE + LEEWAY:
            raise LoginTooOld
        if message.expiration_time is not None and now >= read_time(message.expiration_time):
            raise LoginTooOld
        if message.not_before is not None and now < read_time(message.not_before):
            raise not_proven(self, Doubt.NOT_BEFORE)

    def _check_signature(self, message: SignInMessage, text: str, signature: str) -> None:
        if message.account == SOLANA:
            if not solana.is_signed_by(message.address, text, signature):
                raise not_proven(self, Doubt.SIGNATURE)
            return
        if ethereum.checksum_address(message.address) != message.address:
            raise WalletAnswerRefused("address")
        try:
            signer = ethereum.signer(text, signature)
        except ethereum.SignatureUnreadable as error:
            raise WalletAnswerRefused("signature") from error
        except ethereum.ContractSignature as error:
            raise ContractWalletRefused from error
        if signer != message.address:
            raise not_proven(self, Doubt.SIGNATURE)


def _account_of(address: str) -> tuple[str, str]:
    """Return the kind of account and the address as a message has it.

    Raises:
        WalletAddressRefused: it is not an address on a chain that we know.
    """
    if (checked := ethereum.checksum_address(address)) is not None:
        return ETHEREUM, checked
    if solana.is_address(address):
        return SOLANA, address
    raise WalletAddressRefused


def _domain(url: httpx.URL) -> str:
    return url.netloc.decode("ascii")


def _written(moment: datetime) -> str:
    return moment.replace(microsecond=0).isoformat().removesuffix("+00:00") + "Z"
