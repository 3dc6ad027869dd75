"""Is a password refused exactly when a list or somebody who knows the person would guess it, and in little time?"""

import time
from collections.abc import Callable

import pytest

from shared.identity import password_rules
from shared.identity.password_rules import (
    LONG_ENOUGH,
    MOST_ESTIMATED,
    Person,
    Weakness,
    find_weakness,
    normal_form,
)

ADA = Person(
    "ada.lovelace+roost@mail.analytical.example", "Augusta Lovelace", ("Difference & Engines Ltd",)
)


class TestFindWeakness:
    @pytest.mark.parametrize(
        "password",
        [
            "correct horse",
            "aB3$xY9!",  # eight random characters
            "tangled kettle",
            "aaaaaaaaaaaaaaa",  # long enough not to be estimated
            "\u732b\u306f\u68ee\u3067\u9ce5\u3092\u898b\u305f\u3002",
            "\U0001f426 \U0001f333 \U0001f319 roof",
            "nul\0inside it all",
            " spaces around them ",
            "owl " * 64,
        ],
    )
    def test_accepted(self, password: str) -> None:
        assert find_weakness(password, ADA) is None

    @pytest.mark.parametrize(
        ("password", "weakness"),
        [
            ("e\u0301" * 4, Weakness.TOO_SHORT),  # four letters with their accents
            ("password", Weakness.COMMON),
            ("PassWord", Weakness.COMMON),
            ("\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44", Weakness.COMMON),  # full width
            ("trustno1", Weakness.COMMON),
            ("Lovelace rides at noon", Weakness.PERSONAL),
            ("augusta rides at noon!", Weakness.PERSONAL),
            ("ada.lovelace at the sea", Weakness.PERSONAL),
            ("analytical 7 kettle owl", Weakness.PERSONAL),
            ("difference&engines-ltd 7", Weakness.PERSONAL),
            ("R-o-o-s-t 7 kettle owl!", Weakness.PERSONAL),
            ("a password", Weakness.GUESSABLE),
            ("summer2026!", Weakness.GUESSABLE),
            ("qwertyuiop789", Weakness.GUESSABLE),
            ("engines 1843", Weakness.GUESSABLE),  # by a part of the organization's name
        ],
    )
    def test_refused_with_the_reason(self, password: str, weakness: Weakness) -> None:
        assert find_weakness(password, ADA) is weakness

    @pytest.mark.parametrize("email", ["a@b.example", "ann@mail.test", "@", ""])
    def test_short_names_are_part_of_other_words(self, email: str) -> None:
        assert find_weakness("a banner in Bexley", Person(email, "An", ("Ltd",))) is None

    def test_more_of_the_same_is_judged_by_its_length(self) -> None:
        assert find_weakness("a" * (LONG_ENOUGH - 1), ADA) is Weakness.GUESSABLE
        assert find_weakness("a" * LONG_ENOUGH, ADA) is None

    def test_same_password_from_every_keyboard(self) -> None:
        assert normal_form("cafe\u0301") == normal_form("caf\u00e9")


class TestEstimate:
    @pytest.mark.parametrize("length", [1, 14, MOST_ESTIMATED, MOST_ESTIMATED + 1, 256, 4_096])
    def test_never_more_than_it_takes(self, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """It raises for a longer text: a request would end as an unexpected error."""
        monkeypatch.setattr(password_rules, "LONG_ENOUGH", length + 1)
        password_rules._guesses("a" * length, [])

    def test_long_passwords_are_not_estimated(self, monkeypatch: pytest.MonkeyPatch) -> None:
        estimated: list[str] = []

        def estimate(form: str, _names: object) -> float:
            estimated.append(form)
            return 1.0

        monkeypatch.setattr(password_rules, "_guesses", estimate)
        for length in (LONG_ENOUGH - 1, LONG_ENOUGH, 256):
            find_weakness("a" * length, ADA)
        assert [len(form) for form in estimated] == [LONG_ENOUGH - 1]


SHAPES: dict[str, Callable[[int], str]] = {
    "letters": lambda n: "a" * n,
    "words": lambda n: ("password" * n)[:n],
    "look-alikes": lambda n: ("4@8({[<369%1!|!170$5+7%2" * n)[:n],
    "dates": lambda n: ("31.12.1999 " * n)[:n],
    "keys": lambda n: ("qwertyuiopasdfghjkl" * n)[:n],
    "numbers": lambda n: ("1234567890" * n)[:n],
}


@pytest.mark.broad
@pytest.mark.parametrize("shape", SHAPES)
def test_time_does_not_grow_with_the_password(shape: str) -> None:
    """`zxcvbn` takes four times as long for twice the text, so it gets no more than a bounded part."""
    make = SHAPES[shape]

    def seconds(length: int) -> float:
        password = make(length)
        runs = []
        for _ in range(5):
            began = time.process_time()
            for _ in range(5):
                find_weakness(password, ADA)
            runs.append(time.process_time() - began)
        return min(runs)

    longest_estimated = seconds(LONG_ENOUGH - 1)
    assert seconds(256) < max(longest_estimated * 2, 0.02)
    assert longest_estimated < 0.5  # a tenth of a second each, on the slowest machine
