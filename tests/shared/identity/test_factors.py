"""Whether a second factor is what its user has, and each of its codes works once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import boto3
import pyotp
import pytest
import time_machine
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from shared.aws import keys
from shared.core import clock
from shared.core.ids import FactorId, UserId, new_id
from shared.identity import factors, recovery_codes
from shared.identity.errors import NoSuchFactor, TooManyFactors, WrongCode
from shared.identity.factor_queries import COUNT_RECOVERY_CODES, LIST_FACTORS
from shared.identity.factors import (
    MOST_FACTORS,
    NewTotp,
    begin_totp,
    confirm_totp,
    find_pending_secret,
    prove_by_recovery_code,
    prove_by_totp,
    remove_factor,
    replace_recovery_codes,
    seal_totp_secret,
)
from shared.identity.models import Factor, Method
from shared.identity.totp import new_totp_secret
from tests.builders import a_user
from tests.conftest import Configure


@pytest.fixture(autouse=True)
def _key_service(aws: None, configure: Configure) -> None:
    configure(KMS_KEY_ID=boto3.client("kms").create_key()["KeyMetadata"]["KeyId"])
    keys._sealer.cache_clear()


@pytest.fixture(autouse=True)
def now() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(clock.now().replace(second=0), tick=False) as traveller:
        yield traveller


@pytest.fixture
def user_id(session: Session) -> UserId:
    return UserId(a_user(session).id)


def begin(session: Session, user_id: UserId, *, name: str = "Phone") -> NewTotp:
    secret = new_totp_secret()
    sealed = seal_totp_secret(user_id, secret)
    return begin_totp(
        session, user_id, email="ada@example.org", name=name, sealed=sealed, secret=secret
    )


def code_at(secret: str, at: datetime | None = None) -> str:
    return pyotp.TOTP(secret).at(at or clock.now())


def enrol(session: Session, user_id: UserId, *, name: str = "Phone") -> tuple[NewTotp, list[str]]:
    new = begin(session, user_id, name=name)
    secret = find_pending_secret(session, user_id, new.id)
    codes = confirm_totp(session, user_id, new.id, secret=secret, code=code_at(secret))
    return new, codes


class TestEnrolment:
    def test_counts_after_its_user_has_shown_a_code(
        self, session: Session, user_id: UserId
    ) -> None:
        new = begin(session, user_id)
        assert LIST_FACTORS.all(session, user_id) == []
        with pytest.raises(WrongCode):
            prove_by_totp(session, user_id, code_at(new.secret))
        with pytest.raises(WrongCode):
            confirm_totp(session, user_id, new.id, secret=new.secret, code="000000")
        codes = confirm_totp(session, user_id, new.id, secret=new.secret, code=code_at(new.secret))
        [listed] = LIST_FACTORS.all(session, user_id)
        assert (listed.id, listed.name, listed.kind) == (new.id, "Phone", "totp")
        assert len(set(codes)) == recovery_codes.HOW_MANY

    def test_secret_is_stored_sealed(self, session: Session, user_id: UserId) -> None:
        new, codes = enrol(session, user_id)
        stored = session.get_one(Factor, new.id)
        assert stored.secret is not None
        assert new.secret.encode() not in stored.secret
        rows = session.execute(text("select code_hash from recovery_codes")).scalars().all()
        assert not any(code.encode() in row for code in codes for row in rows)

    def test_recovery_codes_come_with_the_first_factor_only(
        self, session: Session, user_id: UserId
    ) -> None:
        _, codes = enrol(session, user_id)
        _, none = enrol(session, user_id, name="Tablet")
        assert none == []
        assert prove_by_recovery_code(session, user_id, codes[0]).codes_left == 9

    def test_another_beginning_replaces_the_one_that_waits(
        self, session: Session, user_id: UserId
    ) -> None:
        first, second = begin(session, user_id), begin(session, user_id)
        with pytest.raises(NoSuchFactor):
            find_pending_secret(session, user_id, first.id)
        assert find_pending_secret(session, user_id, second.id) == second.secret

    def test_waits_an_hour_and_only_for_its_user(self, session: Session, user_id: UserId) -> None:
        new = begin(session, user_id)
        with pytest.raises(NoSuchFactor):
            find_pending_secret(session, UserId(a_user(session).id), new.id)
        session.execute(text("update factors set created_at = now() - interval '1 hour'"))
        with pytest.raises(NoSuchFactor):
            find_pending_secret(session, user_id, new.id)

    def test_is_confirmed_once(self, session: Session, user_id: UserId) -> None:
        new, _ = enrol(session, user_id)
        with pytest.raises(NoSuchFactor):
            find_pending_secret(session, user_id, new.id)
        with pytest.raises(NoSuchFactor):
            confirm_totp(session, user_id, new.id, secret=new.secret, code=code_at(new.secret))

    def test_there_are_at_most_ten(self, session: Session, user_id: UserId) -> None:
        for number in range(MOST_FACTORS):
            enrol(session, user_id, name=str(number))
        with pytest.raises(TooManyFactors):
            begin(session, user_id)


class TestTotp:
    def test_code_works_once(
        self, session: Session, user_id: UserId, now: time_machine.Traveller
    ) -> None:
        new, _ = enrol(session, user_id)
        with pytest.raises(WrongCode):  # the code that confirmed it
            prove_by_totp(session, user_id, code_at(new.secret))
        now.shift(30)
        code = code_at(new.secret)
        assert prove_by_totp(session, user_id, code).method is Method.TOTP
        with pytest.raises(WrongCode):
            prove_by_totp(session, user_id, code)

    def test_earlier_code_is_refused_after_a_later_one(
        self, session: Session, user_id: UserId, now: time_machine.Traveller
    ) -> None:
        new, _ = enrol(session, user_id)
        now.shift(60)
        later = code_at(new.secret, clock.now() + timedelta(seconds=30))
        prove_by_totp(session, user_id, later)
        with pytest.raises(WrongCode):
            prove_by_totp(session, user_id, code_at(new.secret))

    def test_code_of_another_user_is_wrong(
        self, session: Session, user_id: UserId, now: time_machine.Traveller
    ) -> None:
        other = UserId(a_user(session).id)
        new, _ = enrol(session, other)
        enrol(session, user_id)
        now.shift(30)
        with pytest.raises(WrongCode):
            prove_by_totp(session, user_id, code_at(new.secret))

    def test_each_of_several_apps_proves_it(
        self, session: Session, user_id: UserId, now: time_machine.Traveller
    ) -> None:
        apps = [enrol(session, user_id, name=str(number))[0] for number in range(3)]
        now.shift(30)
        for app in apps:
            prove_by_totp(session, user_id, code_at(app.secret))


class TestRecoveryCodes:
    def test_works_once_however_it_is_typed(self, session: Session, user_id: UserId) -> None:
        _, codes = enrol(session, user_id)
        typed = codes[3].lower().replace("-", " ")
        assert prove_by_recovery_code(session, user_id, typed).codes_left == 9
        with pytest.raises(WrongCode):
            prove_by_recovery_code(session, user_id, codes[3])

    def test_the_last_one_leaves_none(self, session: Session, user_id: UserId) -> None:
        _, codes = enrol(session, user_id)
        left = [prove_by_recovery_code(session, user_id, code).codes_left for code in codes]
        assert left == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
        assert COUNT_RECOVERY_CODES.one(session, user_id).left == 0

    def test_that_of_another_is_wrong(self, session: Session, user_id: UserId) -> None:
        _, codes = enrol(session, user_id)
        with pytest.raises(WrongCode):
            prove_by_recovery_code(session, UserId(a_user(session).id), codes[0])

    def test_new_ones_replace_the_old_ones(self, session: Session, user_id: UserId) -> None:
        _, old = enrol(session, user_id)
        new = replace_recovery_codes(session, user_id)
        with pytest.raises(WrongCode):
            prove_by_recovery_code(session, user_id, old[0])
        assert prove_by_recovery_code(session, user_id, new[0]).codes_left == 9

    def test_without_a_factor_there_are_none(self, session: Session, user_id: UserId) -> None:
        begin(session, user_id)
        with pytest.raises(NoSuchFactor):
            replace_recovery_codes(session, user_id)

    def test_have_80_bits_without_letters_that_look_alike(self) -> None:
        letters = "".join(recovery_codes.new_codes()).replace("-", "")
        assert len(letters) == 160
        assert not set(letters) & set("ILOU")


class TestRemoval:
    def test_removed_one_is_useless_at_once(
        self, session: Session, user_id: UserId, now: time_machine.Traveller
    ) -> None:
        new, _ = enrol(session, user_id)
        _, _ = enrol(session, user_id, name="Tablet")
        assert remove_factor(session, user_id, new.id).left == 1
        now.shift(30)
        with pytest.raises(WrongCode):
            prove_by_totp(session, user_id, code_at(new.secret))
        assert COUNT_RECOVERY_CODES.one(session, user_id).left == 10

    def test_recovery_codes_go_with_the_last_one(self, session: Session, user_id: UserId) -> None:
        new, codes = enrol(session, user_id)
        assert remove_factor(session, user_id, new.id).left == 0
        with pytest.raises(WrongCode):
            prove_by_recovery_code(session, user_id, codes[0])

    def test_that_of_another_stays(self, session: Session, user_id: UserId) -> None:
        other = UserId(a_user(session).id)
        new, _ = enrol(session, other)
        for factor_id in (new.id, FactorId(new_id())):
            with pytest.raises(NoSuchFactor):
                remove_factor(session, user_id, factor_id)
        assert len(LIST_FACTORS.all(session, other)) == 1


class TestAtOnce:
    """Two requests with the same code, on two connections."""

    @pytest.mark.parametrize("kind", ["totp", "recovery code"])
    def test_only_one_of_two_gets_in(
        self, committed: Engine, kind: str, now: time_machine.Traveller
    ) -> None:
        with Session(committed) as session:
            user_id = UserId(a_user(session).id)
            new, codes = enrol(session, user_id)
            session.commit()
        now.shift(30)
        code = code_at(new.secret) if kind == "totp" else codes[0]
        prove = factors.PROOFS[Method.TOTP if kind == "totp" else Method.RECOVERY_CODE]

        def attempt(_number: int) -> bool:
            with Session(committed) as session:
                try:
                    prove(session, user_id, code)
                except WrongCode:
                    return False
                session.commit()
                return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(attempt, range(4))) == 1
