/* Montgomery arithmetic on eight numbers side by side, in limbs of 52 bits: limb i of lane l is x[i][l].
 *
 * kernel.c includes this file twice: once over the AVX-512 instructions VPMADD52LUQ/HUQ, once over plain C that stands for them,
 * so that the algorithm can be checked on any processor. NAME, FN, LOW, HIGH, GATHER and SPREAD come from there.
 *
 * R = 2^(52 L). A modulus leaves at least eight bits free (8n < R), so products stay under 2n without a final subtraction, and a column
 * takes every partial product before it is carried: 6 L terms of 52 bits fit 64 bits while L <= 512.
 *
 * Elements modulo n² are pairs (x0, x1) = x0 + n x1. With x0 y0 + m n = R t, as Montgomery's reduction of x0 y0 gives m and t,
 *   (x0 + n x1)(y0 + n y1) / R = t + n ((x0 y1 + x1 y0 - m) / R)  mod n²,
 * so a product modulo n² costs three products of length L and two reductions, and no division.
 */


/* Four columns t0..t3 get every term of rows r0..r3 with the limbs x0..x3 and the four before them, w0..w3; HEAD: nothing before; TAIL: nothing after. */
#define FULL4(r0, r1, r2, r3, w0, w1, w2, w3, x0, x1, x2, x3)                                                          \
    do {                                                                                                               \
        t0 = LOW(t0, r0, x0); t1 = LOW(t1, r0, x1); t2 = LOW(t2, r0, x2); t3 = LOW(t3, r0, x3);                         \
        t0 = HIGH(t0, r0, w3); t1 = HIGH(t1, r0, x0); t2 = HIGH(t2, r0, x1); t3 = HIGH(t3, r0, x2);                     \
        t0 = LOW(t0, r1, w3); t1 = LOW(t1, r1, x0); t2 = LOW(t2, r1, x1); t3 = LOW(t3, r1, x2);                         \
        t0 = HIGH(t0, r1, w2); t1 = HIGH(t1, r1, w3); t2 = HIGH(t2, r1, x0); t3 = HIGH(t3, r1, x1);                     \
        t0 = LOW(t0, r2, w2); t1 = LOW(t1, r2, w3); t2 = LOW(t2, r2, x0); t3 = LOW(t3, r2, x1);                         \
        t0 = HIGH(t0, r2, w1); t1 = HIGH(t1, r2, w2); t2 = HIGH(t2, r2, w3); t3 = HIGH(t3, r2, x0);                     \
        t0 = LOW(t0, r3, w1); t1 = LOW(t1, r3, w2); t2 = LOW(t2, r3, w3); t3 = LOW(t3, r3, x0);                         \
        t0 = HIGH(t0, r3, w0); t1 = HIGH(t1, r3, w1); t2 = HIGH(t2, r3, w2); t3 = HIGH(t3, r3, w3);                     \
    } while (0)
#define HEAD4(r0, r1, r2, r3, x0, x1, x2, x3)                                                                          \
    do {                                                                                                               \
        t0 = LOW(t0, r0, x0); t1 = LOW(t1, r0, x1); t2 = LOW(t2, r0, x2); t3 = LOW(t3, r0, x3);                         \
        t1 = HIGH(t1, r0, x0); t2 = HIGH(t2, r0, x1); t3 = HIGH(t3, r0, x2);                                            \
        t1 = LOW(t1, r1, x0); t2 = LOW(t2, r1, x1); t3 = LOW(t3, r1, x2);                                               \
        t2 = HIGH(t2, r1, x0); t3 = HIGH(t3, r1, x1);                                                                   \
        t2 = LOW(t2, r2, x0); t3 = LOW(t3, r2, x1);                                                                     \
        t3 = HIGH(t3, r2, x0);                                                                                          \
        t3 = LOW(t3, r3, x0);                                                                                           \
    } while (0)
#define TAIL4(r0, r1, r2, r3, w0, w1, w2, w3)                                                                          \
    do {                                                                                                               \
        t0 = HIGH(t0, r0, w3);                                                                                          \
        t0 = LOW(t0, r1, w3);                                                                                           \
        t0 = HIGH(t0, r1, w2); t1 = HIGH(t1, r1, w3);                                                                   \
        t0 = LOW(t0, r2, w2); t1 = LOW(t1, r2, w3);                                                                     \
        t0 = HIGH(t0, r2, w1); t1 = HIGH(t1, r2, w2); t2 = HIGH(t2, r2, w3);                                            \
        t0 = LOW(t0, r3, w1); t1 = LOW(t1, r3, w2); t2 = LOW(t2, r3, w3);                                               \
        t0 = HIGH(t0, r3, w0); t1 = HIGH(t1, r3, w1); t2 = HIGH(t2, r3, w2); t3 = HIGH(t3, r3, w3);                     \
    } while (0)
#define COLUMNS(at) V t0 = (at)[0], t1 = (at)[1], t2 = (at)[2], t3 = (at)[3]
#define KEEP(at) do { (at)[0] = t0; (at)[1] = t1; (at)[2] = t2; (at)[3] = t3; } while (0)

/* t[0..count+4) += rows a0..a3 times the `count` limbs of b. */
FN inline __attribute__((always_inline)) void NAME(rows)(V *t, V a0, V a1, V a2, V a3, const V *b, int count) {
    V w0 = b[0], w1 = b[1], w2 = b[2], w3 = b[3];
    {
        COLUMNS(t);
        HEAD4(a0, a1, a2, a3, w0, w1, w2, w3);
        KEEP(t);
    }
    for (int c = 4; c < count; c += 4) {
        const V x0 = b[c], x1 = b[c + 1], x2 = b[c + 2], x3 = b[c + 3];
        COLUMNS(t + c);
        FULL4(a0, a1, a2, a3, w0, w1, w2, w3, x0, x1, x2, x3);
        KEEP(t + c);
        w0 = x0; w1 = x1; w2 = x2; w3 = x3;
    }
    {
        COLUMNS(t + count);
        TAIL4(a0, a1, a2, a3, w0, w1, w2, w3);
        KEEP(t + count);
    }
}

/* Limb k of the quotient, for columns t[0..4) that have everything but what this quotient's limbs add; its own column is then done. */
FN inline __attribute__((always_inline)) V NAME(quotient_limb)(V *t, const Field *f, int k) {
    const V q = LOW(SPREAD(0), t[k], SPREAD(f->k0));
    /* The low half of q n[0] makes the column's low limb zero: what is carried is the column over 2^52, rounded up. */
    t[k + 1] += (t[k] + SPREAD(MASK)) >> 52;
    for (int j = 1; k + j < 4; j++) t[k + j] = LOW(HIGH(t[k + j], q, SPREAD(f->n[j - 1])), q, SPREAD(f->n[j]));
    return q;
}

#define LIMBS_OF_N(c) const V m0 = SPREAD(n[c]), m1 = SPREAD(n[(c) + 1]), m2 = SPREAD(n[(c) + 2]), m3 = SPREAD(n[(c) + 3])

/* T / R mod n in T[L..2L), T < R n. A row's quotient is found among the columns that do not wait for it. */
FN void NAME(reduce_all)(V *T, const Field *f, V *q) {
    const uint64_t *n = f->n;
    const int L = f->limbs;
    for (int k = 0; k < 4; k++) q[k] = NAME(quotient_limb)(T, f, k);
#define STEP(c)                                                                        \
    do {                                                                               \
        LIMBS_OF_N(c);                                                                 \
        COLUMNS(t + (c));                                                              \
        FULL4(q0, q1, q2, q3, w0, w1, w2, w3, m0, m1, m2, m3);                         \
        KEEP(t + (c));                                                                 \
        w0 = m0; w1 = m1; w2 = m2; w3 = m3;                                            \
    } while (0)
    for (int i = 0; i < L; i += 4) {
        const V q0 = q[i], q1 = q[i + 1], q2 = q[i + 2], q3 = q[i + 3];
        V *t = T + i;
        V w0 = SPREAD(n[0]), w1 = SPREAD(n[1]), w2 = SPREAD(n[2]), w3 = SPREAD(n[3]);
        int c = 4;
        if (i + 4 < L) {
            STEP(c);
            c += 4;
            if (L >= 24) {
#pragma GCC unroll 4
                for (int k = 0; k < 4; k++) {
                    STEP(c);
                    c += 4;
                    q[i + 4 + k] = NAME(quotient_limb)(t + 4, f, k);
                }
            } else
                for (int k = 0; k < 4; k++) q[i + 4 + k] = NAME(quotient_limb)(t + 4, f, k);
        }
        for (; c < L; c += 4) STEP(c);
        COLUMNS(t + L);
        TAIL4(q0, q1, q2, q3, w0, w1, w2, w3);
        KEEP(t + L);
    }
#undef STEP
}

/* T[L..2L) = (T + a b) / R mod n, and with `other` (T + a b + other y) / R. */
FN inline __attribute__((always_inline)) void NAME(fused)(V *T, const V *a, const V *b, const V *other, const V *y, const Field *f, V *q) {
    const uint64_t *n = f->n;
    const int L = f->limbs;
    if (other) NAME(rows)(T, other[0], other[1], other[2], other[3], y, L);
    {
        COLUMNS(T);
        HEAD4(a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]);
        KEEP(T);
    }
    for (int k = 0; k < 4; k++) q[k] = NAME(quotient_limb)(T, f, k);
#define STEP(c)                                                                                  \
    do {                                                                                         \
        COLUMNS(t + (c));                                                                        \
        const V x0 = b[c], x1 = b[(c) + 1], x2 = b[(c) + 2], x3 = b[(c) + 3];                     \
        FULL4(a0, a1, a2, a3, v0, v1, v2, v3, x0, x1, x2, x3);                                   \
        LIMBS_OF_N(c);                                                                           \
        FULL4(q0, q1, q2, q3, w0, w1, w2, w3, m0, m1, m2, m3);                                   \
        KEEP(t + (c));                                                                           \
        v0 = x0; v1 = x1; v2 = x2; v3 = x3;                                                      \
        w0 = m0; w1 = m1; w2 = m2; w3 = m3;                                                      \
    } while (0)
    for (int i = 0; i < L; i += 4) {
        const V a0 = a[i], a1 = a[i + 1], a2 = a[i + 2], a3 = a[i + 3];
        const V q0 = q[i], q1 = q[i + 1], q2 = q[i + 2], q3 = q[i + 3];
        V *t = T + i;
        if (other && i + 4 < L) NAME(rows)(t + 4, other[i + 4], other[i + 5], other[i + 6], other[i + 7], y, L);
        V v0 = b[0], v1 = b[1], v2 = b[2], v3 = b[3];
        V w0 = SPREAD(n[0]), w1 = SPREAD(n[1]), w2 = SPREAD(n[2]), w3 = SPREAD(n[3]);
        int c = 4;
        if (i + 4 < L) {
            {
                COLUMNS(t + 4);
                HEAD4(a[i + 4], a[i + 5], a[i + 6], a[i + 7], v0, v1, v2, v3);
                KEEP(t + 4);
            }
            STEP(c);
            c += 4;
            if (L >= 24) {
#pragma GCC unroll 4
                for (int k = 0; k < 4; k++) {
                    STEP(c);
                    c += 4;
                    q[i + 4 + k] = NAME(quotient_limb)(t + 4, f, k);
                }
            } else
                for (int k = 0; k < 4; k++) q[i + 4 + k] = NAME(quotient_limb)(t + 4, f, k);
        }
        for (; c < L; c += 4) STEP(c);
        COLUMNS(t + L);
        TAIL4(a0, a1, a2, a3, v0, v1, v2, v3);
        TAIL4(q0, q1, q2, q3, w0, w1, w2, w3);
        KEEP(t + L);
    }
#undef STEP
}

#define TRIANGLE(t, a0, a1, a2, a3)                                          \
    do {                                                                     \
        (t)[1] = LOW((t)[1], a0, a1);                                        \
        (t)[2] = LOW(HIGH((t)[2], a0, a1), a0, a2);                          \
        (t)[3] = LOW(LOW(HIGH((t)[3], a0, a2), a0, a3), a1, a2);             \
        (t)[4] = LOW(HIGH(HIGH((t)[4], a0, a3), a1, a2), a1, a3);            \
        (t)[5] = LOW(HIGH((t)[5], a1, a3), a2, a3);                          \
        (t)[6] = HIGH((t)[6], a2, a3);                                       \
    } while (0)

/* T[0..2L) = a². */
FN void NAME(square)(V *T, const V *a, int L) {
    for (int i = 0; i < 2 * L; i++) T[i] = SPREAD(0);
    int i = 0;
    /* Eight rows at a time: the later four take each limb four columns after the first four did. */
    for (; L - i >= 16; i += 8) {
        const V a0 = a[i], a1 = a[i + 1], a2 = a[i + 2], a3 = a[i + 3], b0 = a[i + 4], b1 = a[i + 5], b2 = a[i + 6], b3 = a[i + 7];
        const V *b = a + i;
        V *t = T + 2 * i;
        const int M = L - i;
        TRIANGLE(t, a0, a1, a2, a3);
        TRIANGLE(t + 8, b0, b1, b2, b3);
        V v0 = b[8], v1 = b[9], v2 = b[10], v3 = b[11], w0 = b[12], w1 = b[13], w2 = b[14], w3 = b[15];
        {
            COLUMNS(t + 4);
            HEAD4(a0, a1, a2, a3, b0, b1, b2, b3);
            KEEP(t + 4);
        }
        {
            COLUMNS(t + 8);
            FULL4(a0, a1, a2, a3, b0, b1, b2, b3, v0, v1, v2, v3);
            KEEP(t + 8);
        }
        {
            COLUMNS(t + 12);
            FULL4(a0, a1, a2, a3, v0, v1, v2, v3, w0, w1, w2, w3);
            HEAD4(b0, b1, b2, b3, v0, v1, v2, v3);
            KEEP(t + 12);
        }
        for (int c = 16; c < M; c += 4) {
            const V x0 = b[c], x1 = b[c + 1], x2 = b[c + 2], x3 = b[c + 3];
            COLUMNS(t + c);
            FULL4(a0, a1, a2, a3, w0, w1, w2, w3, x0, x1, x2, x3);
            FULL4(b0, b1, b2, b3, v0, v1, v2, v3, w0, w1, w2, w3);
            KEEP(t + c);
            v0 = w0; v1 = w1; v2 = w2; v3 = w3;
            w0 = x0; w1 = x1; w2 = x2; w3 = x3;
        }
        {
            COLUMNS(t + M);
            TAIL4(a0, a1, a2, a3, w0, w1, w2, w3);
            FULL4(b0, b1, b2, b3, v0, v1, v2, v3, w0, w1, w2, w3);
            KEEP(t + M);
        }
        {
            COLUMNS(t + M + 4);
            TAIL4(b0, b1, b2, b3, w0, w1, w2, w3);
            KEEP(t + M + 4);
        }
    }
    for (; i < L; i += 4) {
        const V a0 = a[i], a1 = a[i + 1], a2 = a[i + 2], a3 = a[i + 3];
        V *t = T + 2 * i;
        TRIANGLE(t, a0, a1, a2, a3);
        if (i + 4 < L) NAME(rows)(t + 4, a0, a1, a2, a3, a + i + 4, L - i - 4);
    }
    for (int i = 0; i < L; i++) {
        T[2 * i] = LOW(T[2 * i] + T[2 * i], a[i], a[i]);
        T[2 * i + 1] = HIGH(T[2 * i + 1] + T[2 * i + 1], a[i], a[i]);
    }
}

/* out = T[L..2L), carried. */
FN void NAME(carry)(V *out, const V *T, int L) {
    const V mask = SPREAD(MASK);
    V carried = SPREAD(0);
    for (int i = 0; i < L; i++) {
        const V s = T[L + i] + carried;
        out[i] = s & mask;
        carried = s >> 52;
    }
}

/* out = a b / R mod n. */
FN void NAME(times)(V *out, const V *a, const V *b, const Field *f, Scratch *s) {
    V *T = s->wide;
    for (int i = 0; i < 2 * f->limbs; i++) T[i] = SPREAD(0);
    NAME(fused)(T, a, b, 0, 0, f, s->quotient);
    NAME(carry)(out, T, f->limbs);
}

FN void NAME(squared)(V *out, const V *a, const Field *f, Scratch *s) {
    NAME(square)(s->wide, a, f->limbs);
    NAME(reduce_all)(s->wide, f, s->quotient);
    NAME(carry)(out, s->wide, f->limbs);
}

/* T += offset - quotient: offset is a multiple of n that no quotient exceeds, with limbs that no limb of a quotient exceeds. */
FN void NAME(take_quotient)(V *T, const Field *f, const V *quotient) {
    for (int i = 0; i < f->limbs; i++) T[i] += SPREAD(f->offset[i]) - quotient[i];
    T[f->limbs] += SPREAD(f->offset[f->limbs]);
}

/* Pairs are 2L limbs: x0, then x1. out may be a or b. */
FN void NAME(pair_times)(V *out, const V *a, const V *y, const Field *f, Scratch *s) {
    const int L = f->limbs;
    V *T = s->wide, *low = s->low;
    NAME(times)(low, a, y, f, s);
    for (int i = 0; i < 2 * L; i++) T[i] = SPREAD(0);
    NAME(take_quotient)(T, f, s->quotient);
    NAME(fused)(T, a, y + L, a + L, y, f, s->quotient);
    NAME(carry)(out + L, T, L);
    for (int i = 0; i < L; i++) out[i] = low[i];
}

FN void NAME(pair_squared)(V *out, const V *a, const Field *f, Scratch *s) {
    const int L = f->limbs;
    V *T = s->wide, *low = s->low;
    NAME(squared)(low, a, f, s);
    /* 2 x0 x1 - m: x0 doubled first, which its free bits allow. */
    V carried = SPREAD(0), *twice = s->twice;
    for (int i = 0; i < L; i++) {
        const V d = a[i] + a[i] + carried;
        twice[i] = d & SPREAD(MASK);
        carried = d >> 52;
    }
    for (int i = 0; i < 2 * L; i++) T[i] = SPREAD(0);
    NAME(take_quotient)(T, f, s->quotient);
    NAME(fused)(T, twice, a + L, 0, 0, f, s->quotient);
    NAME(carry)(out + L, T, L);
    for (int i = 0; i < L; i++) out[i] = low[i];
}

/* What a job does with elements of `width` limbs: modulo n, or pairs modulo n². */
FN void NAME(by)(const Job *j, V *out, const V *a, const V *b, Scratch *s) {
    if (j->pairs)
        NAME(pair_times)(out, a, b, &j->field, s);
    else
        NAME(times)(out, a, b, &j->field, s);
}

FN void NAME(twice_by)(const Job *j, V *out, const V *a, Scratch *s) {
    if (j->pairs)
        NAME(pair_squared)(out, a, &j->field, s);
    else
        NAME(squared)(out, a, &j->field, s);
}

/* Out of Montgomery's form: by 1, or by the pair (1, 0). */
FN void NAME(plain)(const Job *j, V *out, const V *a, V *one, Scratch *s) {
    for (int i = 0; i < j->width; i++) one[i] = SPREAD(0);
    one[0] = SPREAD(1);
    NAME(by)(j, out, a, one, s);
}

FN void NAME(spread)(V *out, const uint64_t *limbs, int width) {
    for (int i = 0; i < width; i++) out[i] = SPREAD(limbs[i]);
}

/* x = x^exponent in Montgomery's form, one exponent for all lanes: windows of `bits`, the same steps whatever the exponent's value. */
FN void NAME(power)(const Job *j, V *x, const uint8_t *exponent, int exponent_bits, int bits, V *table, Scratch *s) {
    const int W = j->width;
    NAME(spread)(table, j->one, W);
    for (int i = 0; i < W; i++) table[W + i] = x[i];
    for (int d = 2; d < 1 << bits; d++) NAME(by)(j, table + (size_t)d * W, table + (size_t)(d - 1) * W, table + W, s);
    const int windows = (exponent_bits + bits - 1) / bits;
    for (int w = windows - 1; w >= 0; w--) {
        if (w < windows - 1)
            for (int i = 0; i < bits; i++) NAME(twice_by)(j, x, x, s);
        const V *entry = table + (size_t)window_of(exponent, exponent_bits, w * bits, bits) * W;
        if (w == windows - 1)
            for (int i = 0; i < W; i++) x[i] = entry[i];
        else
            NAME(by)(j, x, x, entry, s);
    }
}

/* The entries that each lane's digit names, from `entries` of `stride` words each. */
FN void NAME(pick)(V *out, const uint64_t *entries, size_t stride, const uint64_t *digits, int width) {
    V at;
    for (int l = 0; l < LANES; l++) at[l] = digits[l] * stride;
    for (int i = 0; i < width; i++) out[i] = GATHER(entries + i, at);
}

/* As `pick` from a table of vectors, each lane from its own lane. */
FN void NAME(pick_own)(V *out, const V *table, const uint64_t *digits, int width) {
    V at;
    for (int l = 0; l < LANES; l++) at[l] = digits[l] * (uint64_t)width * LANES + (uint64_t)l;
    for (int i = 0; i < width; i++) out[i] = GATHER((const uint64_t *)(table + i), at);
}

/* Whole calls, eight numbers at a time. `a` is the call's own memory. */

FN void NAME(powers)(const Job *j, Arena *a, const uint8_t *bases, size_t count, const uint8_t *exponent, int exponent_bits, uint8_t *out) {
    const int bits = window_for(exponent_bits);
    V *r2 = a->first, *x = a->second, *one = a->third;
    NAME(spread)(r2, j->r2, j->width);
    for (size_t i = 0; i < count; i += LANES) {
        load(j, x, bases + i * j->bytes, j->bytes, count - i);
        NAME(by)(j, x, x, r2, &a->scratch);
        NAME(power)(j, x, exponent, exponent_bits, bits, a->table, &a->scratch);
        NAME(plain)(j, x, x, one, &a->scratch);
        store(j, a->limbs, x, out + i * j->bytes, j->bytes, count - i);
    }
}

/* table[digit][d] = base^(d 256^digit) in Montgomery's form: rows side by side, each from its row's step. */
FN void NAME(comb_table)(const Job *j, Arena *a, const uint8_t *base, size_t digits, uint64_t *table) {
    const int W = j->width;
    V *step = a->first, *x = a->second, *steps = a->third;
    load(j, step, base, j->bytes, 1);
    NAME(spread)(x, j->r2, W);
    NAME(by)(j, step, step, x, &a->scratch);
    for (int i = 0; i < W; i++) steps[i] = SPREAD(0);
    for (size_t row = 0; row < digits; row += LANES) {
        for (int l = 0; l < LANES && row + l < digits; l++) {
            for (int i = 0; i < W; i++) ((uint64_t *)steps)[i * LANES + l] = ((uint64_t *)step)[i * LANES];
            for (int i = 0; i < 8; i++) NAME(twice_by)(j, step, step, &a->scratch);
        }
        NAME(spread)(x, j->one, W);
        for (int d = 0; d < 256; d++) {
            for (int l = 0; l < LANES && row + l < digits; l++)
                for (int i = 0; i < W; i++) table[((row + l) * 256 + d) * W + i] = ((uint64_t *)x)[i * LANES + l];
            if (d < 255) NAME(by)(j, x, x, steps, &a->scratch);
        }
    }
}

FN void NAME(comb_powers)(const Job *j, Arena *a, const uint64_t *table, size_t digits, const uint8_t *exponents, size_t count, uint8_t *out) {
    const int W = j->width;
    V *entry = a->second, *one = a->third;
    /* Row by row over all numbers: a row stays in the cache while they pick from it, the whole table does not. */
    for (size_t row = 0; row < digits; row++)
        for (size_t i = 0; i < count; i += LANES) {
            V *x = a->table + i / LANES * W;
            uint64_t chosen[LANES];
            for (size_t l = 0; l < LANES; l++) chosen[l] = i + l < count ? exponents[(i + l) * digits + row] : 0;
            NAME(pick)(row ? entry : x, table + row * 256 * W, W, chosen, W);
            if (row) NAME(by)(j, x, x, entry, &a->scratch);
        }
    for (size_t i = 0; i < count; i += LANES) {
        V *x = a->table + i / LANES * W;
        NAME(plain)(j, x, x, one, &a->scratch);
        store(j, a->limbs, x, out + i * j->bytes, j->bytes, count - i);
    }
}

/* Column by column the product of `depth` numbers, or every prefix's product. fixes[t] is R^(t+1): it takes out what t products and itself
   divided by. */
FN void NAME(products)(const Job *j, Arena *a, const uint8_t *numbers, size_t columns, size_t depth, int prefixes, const uint64_t *fixes, uint8_t *out) {
    V *x = a->first, *next = a->second, *fix = a->third;
    const size_t stride = depth * j->bytes, out_stride = prefixes ? stride : j->bytes;
    for (size_t i = 0; i < columns; i += LANES) {
        const uint8_t *column = numbers + i * stride;
        uint8_t *result = out + i * out_stride;
        load(j, x, column, stride, columns - i);
        for (size_t t = 0; t < depth; t++) {
            if (t) {
                load(j, next, column + t * j->bytes, stride, columns - i);
                NAME(by)(j, x, x, next, &a->scratch);
            }
            if (prefixes || t + 1 == depth) {
                NAME(spread)(fix, fixes + t * (size_t)j->width, j->width);
                NAME(by)(j, next, x, fix, &a->scratch);
                store(j, a->limbs, next, result + (prefixes ? t * j->bytes : 0), out_stride, columns - i);
            }
        }
    }
}

/* Eight partial products of base^exponent, base i in lane i mod 8 (Straus 1964): squarings are shared by all bases of a lane. */
FN void NAME(multi_power)(const Job *j, Arena *a, const uint8_t *bases, const uint8_t *exponents, size_t count, size_t exponent_bytes, uint8_t *out) {
    const int W = j->width;
    const size_t groups = (count + LANES - 1) / LANES, size = (size_t)W << STRAUS_BITS;
    V *x = a->first, *entry = a->second, *one = a->third, *r2 = a->second;
    NAME(spread)(r2, j->r2, W);
    for (size_t g = 0; g < groups; g++) {
        V *table = a->table + g * size;
        NAME(spread)(table, j->one, W);
        load(j, table + W, bases + g * LANES * j->bytes, j->bytes, count - g * LANES);
        NAME(by)(j, table + W, table + W, r2, &a->scratch);
        for (int d = 2; d < 1 << STRAUS_BITS; d++) NAME(by)(j, table + (size_t)d * W, table + (size_t)(d - 1) * W, table + W, &a->scratch);
    }
    NAME(spread)(x, j->one, W);
    for (size_t w = 2 * exponent_bytes; w-- > 0;) {
        if (w + 1 < 2 * exponent_bytes)
            for (int i = 0; i < STRAUS_BITS; i++) NAME(twice_by)(j, x, x, &a->scratch);
        for (size_t g = 0; g < groups; g++) {
            uint64_t digits[LANES];
            for (size_t l = 0; l < LANES; l++) {
                const size_t b = g * LANES + l;
                digits[l] = b < count ? exponents[b * exponent_bytes + w / 2] >> (w % 2 * 4) & 15 : 0;
            }
            NAME(pick_own)(entry, a->table + g * size, digits, W);
            NAME(by)(j, x, x, entry, &a->scratch);
        }
    }
    NAME(plain)(j, x, x, one, &a->scratch);
    store(j, a->limbs, x, out, j->bytes, LANES);
}
