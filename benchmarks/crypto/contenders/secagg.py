"""Flower's SecAgg+ by its own client and server functions: all clients neighbours, default ranges, nobody drops out, no transport."""

from __future__ import annotations

from copy import deepcopy

from flwr.client.mod.secure_aggregation.secaggplus_mod import SecAggPlusState, _collect_masked_vectors, _setup, _share_keys, _unmask
from flwr.common import bytes_to_ndarray, ndarrays_to_parameters
from flwr.common.secure_aggregation.crypto.shamir import combine_shares
from flwr.common.secure_aggregation.ndarrays_arithmetic import (
    factor_extract,
    get_parameters_shape,
    parameters_addition,
    parameters_mod,
    parameters_subtraction,
)
from flwr.common.secure_aggregation.quantization import dequantize
from flwr.common.secure_aggregation.secaggplus_constants import Key
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

from benchmarks.crypto.measuring import Case, Clock, Float64, Outcome

CLIPPING_RANGE, TARGET_RANGE, MOD_RANGE = 8.0, 1 << 22, 1 << 32
WEIGHT = 1000


def run(case: Case, clock: Clock, option: str) -> Outcome:
    everybody = list(range(1, case.organisations + 1))
    setup = {
        Key.SAMPLE_NUMBER: case.organisations,
        Key.SHARE_NUMBER: case.organisations,
        Key.THRESHOLD: case.organisations // 2 + 1,
        Key.CLIPPING_RANGE: CLIPPING_RANGE,
        Key.TARGET_RANGE: TARGET_RANGE,
        Key.MOD_RANGE: MOD_RANGE,
        Key.MAX_WEIGHT: float(WEIGHT),
    }
    states = {nid: SecAggPlusState() for nid in everybody}
    keys = {}
    for nid, state in states.items():
        state.nid = nid
        keys[nid] = _setup(state, setup)
    public = {str(nid): (made[Key.PUBLIC_KEY_1], made[Key.PUBLIC_KEY_2]) for nid, made in keys.items()}
    sealed = {nid: _share_keys(state, public) for nid, state in states.items()}

    def mail(nid: int) -> dict:
        others = [src for src in everybody if src != nid]
        at = {src: sealed[src][Key.DESTINATION_LIST].index(nid) for src in others}
        return {Key.SOURCE_LIST: others, Key.CIPHERTEXT_LIST: [sealed[src][Key.CIPHERTEXT_LIST][at[src]] for src in others]}

    def mask(state: SecAggPlusState, update: Float64) -> list[bytes]:
        parameters = ndarrays_to_parameters([update.astype("<f4")])
        return _collect_masked_vectors(state, mail(state.nid), WEIGHT, parameters)[Key.MASKED_PARAMETERS]

    def from_the_keys_on() -> None:
        fresh = deepcopy(states[1])
        _setup(SecAggPlusState(), setup)
        _share_keys(fresh, public)
        mask(fresh, first)

    def add() -> list:
        total = [bytes_to_ndarray(b) for b in masked[0]]
        for update in masked[1:]:
            total = parameters_addition(total, [bytes_to_ndarray(b) for b in update])
        return parameters_mod(total, MOD_RANGE)

    def unmask() -> Float64:
        total = summed
        for index in range(case.organisations):
            seed = combine_shares([answer[Key.SHARE_LIST][index] for answer in answers])
            total = parameters_subtraction(total, pseudo_rand_gen(seed, MOD_RANGE, get_parameters_shape(total)))
        _, numbers = factor_extract(parameters_mod(total, MOD_RANGE))
        (vector,) = dequantize(numbers, CLIPPING_RANGE, TARGET_RANGE)
        return vector - (case.organisations - 1) * CLIPPING_RANGE

    first = case.update(0)
    clock.time("encrypt", from_the_keys_on)
    clock.time("encrypt online", lambda: mask(states[1], first))
    masked = [mask(state, case.update(k)) for k, state in enumerate(states.values())]
    summed = clock.time("aggregate", add)
    ask = {Key.ACTIVE_NODE_ID_LIST: everybody, Key.DEAD_NODE_ID_LIST: []}
    clock.time("share", lambda: _unmask(states[1], ask))
    answers = [_unmask(state, ask) for state in states.values()]
    total = clock.time("open", unmask)
    # Stochastic rounding moves an organisation's element by less than one unit of 2 * 8 / 2^22.
    return Outcome(total, case.organisations * 2 * CLIPPING_RANGE / TARGET_RANGE, sum(map(len, masked[0])))
