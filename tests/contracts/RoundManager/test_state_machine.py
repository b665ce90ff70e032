"""P1 to P8 against a model: random calls in random order, each predicted by a few lines of Python."""

from __future__ import annotations

from brownie.test import strategy
from hypothesis import strategies as st

from defedbio.domain import Phase
from tests.contracts.consortium import move_to, word

ENROLLED, THRESHOLD, COHORT = 4, 2, 3
SETS = (0b1111, 0b0111, 0b1101, 0b0011, 0b11111)
REFUSALS = (0, 0b1000, 0b0010, 0b1010)
SHARE = 10_000  # of what is not refused, every one: nothing freezes without it or its refusal by t holders
ROOTS = ("right", "wrong")
UNEXPECTED, DONE = "RoundManagerUnexpectedPhase", "RoundManagerAlreadyDone"


class Model:
    """What the protocol says of one round. Each method returns the name of the refusal it predicts, or None after taking effect."""

    def __init__(self, absent=frozenset()):
        self.phase, self.absent = Phase.OPEN, set(absent)
        self.committed, self.revealed, self.frozen = set(), set(), 0
        self.attested, self.posters, self.roots, self.released = {}, set(), set(), {}
        self.chosen, self.combiners, self.openers, self.openings, self.models = None, set(), set(), set(), {}

    def commit(self, who):
        if self.phase != Phase.OPEN:
            return UNEXPECTED
        if who in self.committed:
            return DONE
        self.committed.add(who)
        if len(self.committed | self.absent) == ENROLLED and len(self.committed) >= COHORT:
            self.phase = Phase.COMMITTED

    def reveal(self, who):
        if self.phase != Phase.COMMITTED:
            return UNEXPECTED
        if who not in self.committed:
            return "RoundManagerNoCommitment"
        if who in self.revealed:
            return DONE
        self.revealed.add(who)
        if self.revealed >= self.committed - self.absent and len(self.revealed) >= COHORT:
            self.phase = Phase.REVEALED

    def attest(self, holder, bits, refused):
        if self.phase != Phase.REVEALED:
            return UNEXPECTED
        members = {i for i in range(8) if bits >> i & 1}
        if not members <= self.revealed:
            return "RoundManagerNotSubset"
        bad = {i for i in range(8) if refused >> i & 1}
        if not bad <= self.revealed - members:
            return "RoundManagerNotSubset"
        if len(members) < COHORT:
            return "RoundManagerCohortTooSmall"
        if self.attested.get(holder) == (bits, refused):
            return DONE
        self.attested[holder] = bits, refused
        said = list(self.attested.values())
        good = {i for i in self.revealed if sum(no >> i & 1 for _, no in said) < THRESHOLD}
        for agreed in SETS:
            if sum(yes == agreed for yes, _ in said) >= THRESHOLD and agreed.bit_count() * 10_000 >= len(good) * SHARE:
                self.phase, self.frozen = Phase.FROZEN, agreed

    def aggregate(self, who, root):
        if self.phase not in (Phase.FROZEN, Phase.AGGREGATED):
            return UNEXPECTED
        if who in self.posters:
            return DONE
        self.posters.add(who)
        self.roots.add(root)
        self.phase = Phase.AGGREGATED

    def release(self, holder, root):
        if self.phase not in (Phase.AGGREGATED, Phase.DECRYPTED):
            return UNEXPECTED
        if root not in ({self.chosen} if self.phase == Phase.DECRYPTED else self.roots):
            return "RoundManagerUnknownAggregate"
        if holder in self.released:
            return DONE
        self.released[holder] = root
        if self.phase == Phase.AGGREGATED and list(self.released.values()).count(root) >= THRESHOLD:
            self.phase, self.chosen = Phase.DECRYPTED, root

    def open_part(self, who):
        if self.phase != Phase.DECRYPTED:
            return UNEXPECTED
        if who in self.combiners:
            return DONE
        self.combiners.add(who)

    def open_sum(self, who, root):
        if self.phase != Phase.DECRYPTED:
            return UNEXPECTED
        if who in self.openers:
            return DONE
        self.openers.add(who)
        self.openings.add(root)

    def attest_model(self, holder, root):
        if self.phase != Phase.DECRYPTED:
            return UNEXPECTED
        if root not in self.openings:
            return "RoundManagerUnknownOpening"
        if holder in self.models:
            return DONE
        self.models[holder] = root
        if list(self.models.values()).count(root) >= THRESHOLD:
            self.phase = Phase.FINALISED

    def expire(self):
        enough = {Phase.OPEN: self.committed, Phase.COMMITTED: self.revealed}.get(self.phase, set())
        self.phase = Phase(self.phase + 1) if len(enough) >= COHORT else Phase.VOIDED


class RoundMachine:
    st_who = strategy("uint8", max_value=ENROLLED - 1)
    st_holder = strategy("uint8", max_value=2)
    st_set = st.sampled_from(SETS)
    st_refused = st.sampled_from(REFUSALS)
    st_root = st.sampled_from(ROOTS)

    def __init__(cls, consortium, refused_any):
        cls.first = consortium.ready(ENROLLED, steps=1000, leastShare=SHARE)
        cls.refused_any = staticmethod(refused_any)

    def setup(self):
        self.life, self.model, self.finalised = self.first, Model(), 0
        self.missed = [0] * ENROLLED

    def _do(self, predicted, act):
        if predicted is None:
            act()
        else:
            with self.refused_any(predicted):
                act()

    def rule_commit(self, st_who):
        self._do(self.model.commit(st_who), lambda: self.life.commit(self.life.enrolled[st_who]))

    def rule_reveal(self, st_who):
        self._do(self.model.reveal(st_who), lambda: self.life.reveal(self.life.enrolled[st_who]))

    def rule_attest(self, st_holder, st_set, st_refused):
        predicted = self.model.attest(st_holder, st_set, st_refused)
        self._do(predicted, lambda: self.life.attest(self.life.holders[st_holder], set=st_set, refused=st_refused))

    def rule_aggregate(self, st_who, st_root):
        self._do(self.model.aggregate(st_who, st_root), lambda: self.life.aggregate(self.life.enrolled[st_who], root=word(st_root)))

    def rule_release(self, st_holder, st_root):
        self._do(self.model.release(st_holder, st_root), lambda: self.life.release(self.life.holders[st_holder], root=word(st_root)))

    def rule_open_part(self, st_who):
        self._do(self.model.open_part(st_who), lambda: self.life.open_part(self.life.enrolled[st_who]))

    def rule_open_sum(self, st_who, st_root):
        self._do(self.model.open_sum(st_who, st_root), lambda: self.life.open_sum(self.life.enrolled[st_who], root=word(st_root)))

    def rule_attest_model(self, st_holder, st_root):
        predicted = self.model.attest_model(st_holder, st_root)
        self._do(predicted, lambda: self.life.attest_model(self.life.holders[st_holder], opening=word(st_root)))

    def rule_finish_phase(self):
        """Everyone does its part, so that late phases are reached as often as early ones."""
        phase = self.model.phase
        for i in range(ENROLLED):
            if phase == self.model.phase == Phase.OPEN:
                self.rule_commit(i)
            elif phase == self.model.phase == Phase.COMMITTED:
                self.rule_reveal(i)
        for i in range(3):
            if phase == self.model.phase == Phase.REVEALED:
                bits = max(SETS[:4], key=lambda bits: (bits & self._bits(self.model.revealed) == bits, bits))
                self.rule_attest(i, bits, self._bits(self.model.revealed) & ~bits)
            elif phase == self.model.phase == Phase.AGGREGATED:
                self.rule_release(i, ROOTS[0])
            elif phase == self.model.phase == Phase.DECRYPTED:
                self.rule_open_sum(i, ROOTS[0])
                self.rule_attest_model(i, ROOTS[0])
        if phase == self.model.phase == Phase.FROZEN:
            self.rule_aggregate(0, ROOTS[0])

    def rule_pass_time(self):
        if not self.model.phase.ended:
            move_to(self.life.deadline)
            self.life.contract.advance(self.life.round, {"from": self.life.enrolled[0]})
            self.model.expire()

    def rule_next_round(self):
        if not self.model.phase.ended:
            with self.refused_any("RoundManagerRoundRunning"):
                self.life.next()
            return
        self.finalised += self.model.phase == Phase.FINALISED
        if self.model.frozen:
            self.missed = [0 if self.model.frozen >> i & 1 else count + 1 for i, count in enumerate(self.missed)]
        self.life, self.model = self.life.next(), Model(i for i, count in enumerate(self.missed) if count >= 3)

    @staticmethod
    def _bits(positions):
        return sum(1 << position for position in positions)

    def invariant_the_contract_is_where_the_model_is(self):
        view = self.life.view()
        assert Phase(view["phase"]) == self.model.phase
        assert view["committed"] == self._bits(self.model.committed)
        assert view["revealed"] == self._bits(self.model.revealed)
        assert view["frozen"] == self.model.frozen
        assert view["absent"] == self._bits(self.model.absent)

    def invariant_P3_a_frozen_set_is_a_cohort_of_revealed_updates(self):
        view = self.life.view()
        assert view["revealed"] & ~view["committed"] == 0
        assert view["frozen"] & ~view["revealed"] == 0
        assert view["frozen"] == 0 or int(view["frozen"]).bit_count() >= COHORT

    def invariant_P7_a_step_is_done_only_by_a_finalised_round(self):
        done = self.finalised + (self.model.phase == Phase.FINALISED)
        assert self.life.contract.stepsDone(self.life.study) == done
        assert (self.life.deadline == 0) == self.model.phase.ended


def test_P1_to_P8_a_round_follows_the_model(state_machine, consortium, refused_any):
    state_machine(RoundMachine, consortium, refused_any, settings={"max_examples": 8, "stateful_step_count": 20})
