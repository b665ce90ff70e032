"""docs/attacks.md says what the tests say."""

from __future__ import annotations

from tests.adversary.catalogue import FOLDER, PAGE, attacks, page
from tests.adversary.frame import PARTS


def test_the_page_is_the_tests_own() -> None:
    assert PAGE.read_text("utf-8") == page(), "run python -m tests.adversary"


def test_every_attack_says_all_parts() -> None:
    for path in FOLDER.glob("test_*.py"):
        for attack in attacks(path):
            assert {part for part, _ in attack.said} == set(PARTS), f"{path.name}: {attack.name}"
