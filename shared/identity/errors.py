"""The refusals of accounts and sessions."""

from collections.abc import Sequence
from enum import StrEnum

from shared.core.errors import (
    Conflict,
    FieldProblem,
    Forbidden,
    InvalidInput,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from shared.db.session import SavedButNotDone
from shared.identity.password_rules import Weakness


class SessionOver(Unauthenticated):
    """The session's token has expired, or the session was revoked."""

    code = "session_over"

    def __init__(self) -> None:
        super().__init__("Your session has expired. Renew it, or sign in again.")


class LoginRefused(Unauthenticated):
    """The address or password is wrong, or the password was wrong too often; the answer does not say which."""

    code = "login_refused"

    def __init__(self) -> None:
        super().__init__(
            "The email address or password is wrong. Try again, or set a new password by email."
        )


class WrongPassword(InvalidInput):
    """A signed-in person entered a wrong password, or entered it wrong too often."""

    def __init__(self, path: str = "password") -> None:
        words = "The password is wrong. Try again."
        super().__init__(words, problems=[FieldProblem(path, "wrong_password", words)])


class GuessesPaused(TooManyRequests):
    """Too many wrong passwords were tried. The same for every address, whether it has an account or not."""

    code = "guesses_paused"

    def __init__(self, seconds: int) -> None:
        super().__init__(
            f"Too many wrong passwords. Try again in {seconds} seconds, or set a new password by "
            "email.",
            retry_after_seconds=seconds,
        )


class NotActivated(Forbidden):
    """The password is right, but the address was never verified."""

    code = "not_activated"

    def __init__(self) -> None:
        super().__init__(
            "Your account is not active yet. Open the link in the email we sent "
            "you, or request another one."
        )


class ActivationNotSent(SavedButNotDone):
    """The registration is stored, but the email about it could not be sent. The answer does not say whether there was an account."""

    code = "activation_not_sent"

    def __init__(self) -> None:
        super().__init__(
            "The email that activates your account could not be sent. Request it again later, "
            "or ask this server's operator to activate the account."
        )


class MailNotQueued(Unavailable):
    """The queue of emails refused one."""

    code = "mail_not_queued"

    def __init__(self) -> None:
        super().__init__("The email could not be sent. Try again later.")


class EmailTaken(Conflict):
    """An account with this address exists. Only a server that sends no email says so."""

    code = "email_taken"

    def __init__(self) -> None:
        words = "An account with this address already exists. Sign in, or reset its password."
        super().__init__(words, problems=[FieldProblem("email", self.code, words)])


class RegistrationClosed(Forbidden):
    """This server accepts no new accounts."""

    code = "registration_closed"

    def __init__(self) -> None:
        super().__init__("This server does not accept new accounts. Ask its operator for one.")


class PlusRefused(InvalidInput):
    """This server refuses addresses with a plus sign."""

    def __init__(self) -> None:
        problem = FieldProblem(
            "email",
            "plus_refused",
            "This server does not accept addresses with a plus sign. Use another one.",
        )
        super().__init__(
            "This server does not accept addresses with a plus sign. Use another one.",
            problems=[problem],
        )


class CodeRefused(InvalidInput):
    """The emailed code is unknown, used, or too old."""

    def __init__(self, path: str) -> None:
        problem = FieldProblem(
            path,
            "code_refused",
            "The link has expired or was already used. Request a new email and use its link.",
        )
        super().__init__(
            "The link has expired or was already used. Request a new email and use its link.",
            problems=[problem],
        )


class PasswordRefused(InvalidInput):
    """A new password is weak."""

    def __init__(self, path: str, weakness: Weakness) -> None:
        problem = _weak_password(path, weakness)
        super().__init__(problem.message, problems=[problem])


def _weak_password(path: str, weakness: Weakness) -> FieldProblem:
    match weakness:
        case Weakness.TOO_SHORT:
            return FieldProblem(
                path, "too_short", "This password is too short. Use at least 8 characters."
            )
        case Weakness.COMMON:
            return FieldProblem(
                path,
                "common_password",
                "This password is on the list that attackers try first. Choose another one.",
            )
        case Weakness.PERSONAL:
            return FieldProblem(
                path,
                "personal_password",
                "This password contains your name, your address, your organization or Roost. "
                "Choose another one.",
            )
        case Weakness.GUESSABLE:
            return FieldProblem(
                path,
                "guessable_password",
                "This password is easy to guess. Use 15 characters or more, such as four words.",
            )
        case Weakness.LEAKED:
            return FieldProblem(
                path,
                "leaked_password",
                "This password is known from a data leak. Choose another one, here and wherever "
                "else you use it.",
            )


class UnsubscribeRefused(InvalidInput):
    """The unsubscribe link is not genuine."""

    def __init__(self) -> None:
        words = (
            "This link is incomplete. Open the complete link from the email, or choose your "
            "emails in your settings."
        )
        super().__init__(words, problems=[FieldProblem("token", "unsubscribe_refused", words)])


class NoSuchPerson(NotFound):
    """No account has this id."""

    def __init__(self) -> None:
        super().__init__("This person does not exist, or their account was deleted.")


class NoSuchSession(NotFound):
    """The user has no such session, or it has ended."""

    def __init__(self) -> None:
        super().__init__("This session does not exist. It may have ended already.")


def unknown_address(email: str) -> str:
    """Explain to an operator that no account has the address that they gave."""
    return f"There is no account with the address {email}. Register it first, then try again."


class LoginProviderNotOffered(NotFound):
    """This server does not offer signing in with this provider."""

    code = "login_not_offered"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"This server does not offer signing in with {name}. Choose another way to sign in."
        )


class LoginDenied(Forbidden):
    """The person refused at the provider."""

    code = "login_denied"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"You did not allow Roost to sign you in with {name}. Sign in again and allow it, or "
            "choose another way to sign in."
        )


class LoginTooOld(Unauthenticated):
    """The login at a provider was not finished in time."""

    code = "login_too_old"

    def __init__(self) -> None:
        super().__init__("This sign-in took longer than ten minutes. Start it again.")


class LoginNotProven(Unauthenticated):
    """A provider's answer does not prove who it is. `reason` names the check that failed, for logs and tests."""

    code = "login_not_proven"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"The answer from {name} could not be verified. Sign in again. If it keeps failing, "
            "ask this server's operator."
        )
        self.reason = reason


class Trouble(StrEnum):
    """Why a provider could not be asked; completes a sentence that begins with its name."""

    SILENT = "did not answer within 10 seconds"
    UNREACHABLE = "cannot be reached"
    BUSY = "is not available at the moment"
    UNREADABLE = "sent a response that cannot be read"


class LoginProviderUnavailable(Unavailable):
    """The provider does not answer, or not in a way that can be read."""

    code = "login_provider_unavailable"

    def __init__(self, name: str, trouble: Trouble) -> None:
        super().__init__(
            f"{name} {trouble}. Try again in a few minutes, or choose another way to sign in."
        )


class LoginProviderMisconfigured(Unavailable):
    """The operator's settings for a provider are wrong. The reason is logged."""

    code = "login_misconfigured"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"Signing in with {name} is not set up correctly on this server. Choose another way to "
            "sign in, or ask this server's operator."
        )
        self.reason = reason


class WrongCode(InvalidInput):
    """The code of an authenticator app is wrong or was used, or the recovery code is."""

    def __init__(self) -> None:
        words = "The code is wrong or was already used. Wait for the next one, or check the clock of the device."
        super().__init__(words, problems=[FieldProblem("code", "wrong_code", words)])


class CodesPaused(TooManyRequests):
    """Too many wrong codes were tried for a person, by anybody."""

    code = "codes_paused"

    def __init__(self, seconds: int) -> None:
        super().__init__(
            f"Too many wrong codes. Try again in {seconds} seconds.", retry_after_seconds=seconds
        )


class SecondFactorOver(Unauthenticated):
    """The sign-in that waits for a second factor is unknown, finished, too old, or had too many wrong codes."""

    code = "second_factor_over"

    def __init__(self) -> None:
        super().__init__(
            "This sign-in took longer than five minutes, had too many wrong codes, or was started in another browser. "
            "Sign in again."
        )


class PasskeyRefused(InvalidInput):
    """The answer of a passkey proves nothing; the log says why."""

    def __init__(self) -> None:
        words = "This passkey could not be verified. Try again, or use another way."
        super().__init__(words, problems=[FieldProblem("passkey", "passkey_refused", words)])


class NoSuchDevice(NotFound):
    """The person has no such device that is remembered."""

    def __init__(self) -> None:
        super().__init__("This device is not remembered. It may have been forgotten already.")


class NothingToRecover(Conflict):
    """The person has no second factor, or a recovery waits already."""

    code = "nothing_to_recover"

    def __init__(self) -> None:
        super().__init__(
            "Your account has no second factor to recover from, or its recovery has begun already. Sign in with your password, or "
            "wait until the time in the email we sent you."
        )


class NoSuchRecovery(NotFound):
    """No other member of the organization has such a recovery."""

    code = "no_such_recovery"

    def __init__(self) -> None:
        super().__init__("There is no such recovery of another member. It may be over or stopped.")


class NoSuchFactor(NotFound):
    """The person has no such second factor, or it was not confirmed in time."""

    code = "no_such_factor"

    def __init__(self) -> None:
        super().__init__("There is no such second factor. Add it again.")


class TooManyFactors(Conflict):
    """The person has as many second factors as there may be."""

    code = "too_many_factors"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"You have {most} second factors, the most there may be. Remove one first."
        )


class LoginCodeRefused(InvalidInput):
    """The code of a login is not the JSON that it must be; `names` are the fields it needs."""

    def __init__(self, names: Sequence[str]) -> None:
        words = (
            f"The code is not JSON with {' and '.join(names)}, plain or in base64. Sign in again."
        )
        super().__init__(words, problems=[FieldProblem("code", "code_refused", words)])


class WalletAddressRefused(InvalidInput):
    """The address of a wallet is of no chain that we know."""

    def __init__(self) -> None:
        words = (
            "This is not the address of an Ethereum or Solana wallet. Connect your wallet again."
        )
        super().__init__(
            words, problems=[FieldProblem("publicKey", "wallet_address_refused", words)]
        )


class WalletAnswerRefused(InvalidInput):
    """The text that a wallet signed, or its signature, is not of the form it must have."""

    def __init__(self, part: str) -> None:
        words = (
            f"The {part} in your wallet's answer cannot be read. Sign in again, and sign the text "
            "as Roost shows it."
        )
        super().__init__(words, problems=[FieldProblem("code", "wallet_answer_refused", words)])


class WalletChainRefused(InvalidInput):
    """The text was signed for another chain."""

    def __init__(self, chain: str) -> None:
        words = f"Your wallet signed for another chain. Switch it to {chain}, then sign in again."
        super().__init__(words, problems=[FieldProblem("code", "wallet_chain_refused", words)])


class ContractWalletRefused(InvalidInput):
    """The signature is that of a contract (EIP-1271), which only a node of its chain could check."""

    def __init__(self) -> None:
        words = (
            "Wallets that are contracts (EIP-1271) cannot be used to sign in. Use a wallet with its "
            "own key, or choose another way to sign in."
        )
        super().__init__(words, problems=[FieldProblem("code", "contract_wallet_refused", words)])


class SameAddress(InvalidInput):
    """The account has the address that it is to be changed to."""

    def __init__(self) -> None:
        words = "This is the address of your account already. Enter another one."
        super().__init__(words, problems=[FieldProblem("email", "same_address", words)])


class AddressInUse(Conflict):
    """Another account has the address that was to be restored."""

    code = "address_in_use"

    def __init__(self) -> None:
        super().__init__(
            "Another account has this address by now. Ask this server's operator for help."
        )


class LoginNotStarted(Forbidden):
    """This browser did not start the login, or it was finished already or took too long."""

    code = "login_not_started"

    def __init__(self) -> None:
        super().__init__(
            "This sign-in was not started in this browser, was already finished, or took longer than ten minutes. "
            "Start it again."
        )


class LoginTaken(Conflict):
    """The login belongs to another account."""

    code = "login_taken"

    def __init__(self) -> None:
        super().__init__(
            "This login belongs to another account. Sign in with it, or use another one."
        )


class LoginOfAnother(Forbidden):
    """The person confirmed their identity with a login that their account does not have."""

    code = "login_of_another"

    def __init__(self) -> None:
        super().__init__("Your account does not have this login. Confirm with one that it has.")


class NoSuchLogin(NotFound):
    """The user has no such login."""

    def __init__(self) -> None:
        super().__init__("This login does not exist. It may have been removed already.")


class LastWayIn(Conflict):
    """Without this login, the user could not sign in."""

    code = "last_way_in"

    def __init__(self) -> None:
        super().__init__(
            "You could not sign in without this login. Set a password or add another login first."
        )


class RegistrationTokenRefused(InvalidInput):
    """The token that finishes a registration is unknown, used, too old, or another browser's."""

    def __init__(self) -> None:
        words = "This registration was already finished or took too long. Sign in with your provider again."
        super().__init__(words, problems=[FieldProblem("providerToken", "token_refused", words)])


class FieldNeeded(InvalidInput):
    """The kind of registration needs a field, or must not have it."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message, problems=[FieldProblem(path, "missing", message)])
