/* Keccak of eight messages side by side, one in each lane of 64 bits: Ethereum's Keccak-256 (before FIPS 202 changed the padding) and SHAKE256.
 * Included as lanes.h is; Bertoni, Daemen, Peeters, Van Assche, The Keccak reference (2011).
 */

/* a[x + 5 y] is the state's lane (x, y). */
FN void NAME(keccak_f)(V *state) {
    V a[25], b[25];
    memcpy(a, state, sizeof(a));
    for (int round = 0; round < 24; round++) {
#pragma GCC unroll 5
        for (int x = 0; x < 5; x++) b[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
#pragma GCC unroll 25
        for (int i = 0; i < 25; i++) a[i] ^= b[(i + 4) % 5] ^ (b[(i + 1) % 5] << 1 | b[(i + 1) % 5] >> 63);
        b[0] = a[0];
#pragma GCC unroll 24
        for (int i = 1; i < 25; i++) {
            const int x = i % 5, y = i / 5;
            b[y + 5 * ((2 * x + 3 * y) % 5)] = a[i] << KECCAK_TURNS[i] | a[i] >> (64 - KECCAK_TURNS[i]);
        }
#pragma GCC unroll 25
        for (int i = 0; i < 25; i++) a[i] = b[i] ^ (~b[i / 5 * 5 + (i + 1) % 5] & b[i / 5 * 5 + (i + 2) % 5]);
        a[0] ^= SPREAD(KECCAK_ROUNDS[round]);
    }
    memcpy(state, a, sizeof(a));
}

/* `length` bytes for each of `count` messages of `size` bytes, which follow each other; `end` is what comes after a message. */
FN void NAME(keccak)(const uint8_t *messages, size_t count, size_t size, uint64_t end, uint8_t *out, size_t length) {
    for (size_t i = 0; i < count; i += LANES) {
        V state[25] = {0};
        for (size_t from = 0; from <= size; from += KECCAK_RATE) {
            const size_t there = size - from < KECCAK_RATE ? size - from : KECCAK_RATE;
            for (size_t l = 0; l < LANES && i + l < count; l++) {
                uint64_t block[KECCAK_RATE / 8] = {0};
                memcpy(block, messages + (i + l) * size + from, there);
                if (there < KECCAK_RATE) {
                    block[there / 8] ^= end << there % 8 * 8;
                    block[KECCAK_RATE / 8 - 1] ^= UINT64_C(1) << 63;
                }
                for (int w = 0; w < KECCAK_RATE / 8; w++) state[w][l] ^= block[w];
            }
            NAME(keccak_f)(state);
        }
        for (size_t from = 0; from < length; from += KECCAK_RATE) {
            const size_t there = length - from < KECCAK_RATE ? length - from : KECCAK_RATE;
            if (from) NAME(keccak_f)(state);
            for (size_t l = 0; l < LANES && i + l < count; l++) {
                uint64_t block[KECCAK_RATE / 8];
                for (int w = 0; w < KECCAK_RATE / 8; w++) block[w] = state[w][l];
                memcpy(out + (i + l) * length + from, block, there);
            }
        }
    }
}
