/* Montgomery arithmetic on eight numbers side by side, in limbs of 52 bits: limb i of lane l is x[i][l].
 *
 * kernel.c includes this file over two sets of instructions: once over the AVX-512 instructions VPMADD52LUQ/HUQ, once over plain C that stands for them,
 * so that the algorithm can be checked on any processor. NAME, FN, LOW, HIGH, MIX and SPREAD come from there. Each is included twice, again with
 * LIMB and K0 (of the modulus) that differ from lane to lane, as `own_powers` needs them: nothing else of it is used then.
 *
 * R = 2^(52 L). A modulus leaves at least eight bits free (8n < R), so products stay under 2n without a final subtraction, and a column
 * takes every partial product before it is carried: 6 L terms of 52 bits fit 64 bits while L <= 512.
 *
 * Elements modulo n² are pairs (x0, x1) = x0 + n x1. With x0 y0 + m n = R t, as Montgomery's reduction of x0 y0 gives m and t,
 *   (x0 + n x1)(y0 + n y1) / R = t + n ((x0 y1 + x1 y0 - m) / R)  mod n²,
 * so a product modulo n² costs three products of length L and two reductions, and no division.
 */

/* V##0 to V##3 are four vectors that lie side by side: columns t, rows r, limbs x and those before them, w. Four columns get every term of four
   rows; HEAD: there are no limbs before; TAIL: there are no more limbs. */
#define FULL4(t, r, w, x)                                                                                                   \
    do {                                                                                                                    \
        t##0 = LOW(t##0, r##0, x##0); t##1 = LOW(t##1, r##0, x##1); t##2 = LOW(t##2, r##0, x##2); t##3 = LOW(t##3, r##0, x##3);     \
        t##0 = HIGH(t##0, r##0, w##3); t##1 = HIGH(t##1, r##0, x##0); t##2 = HIGH(t##2, r##0, x##1); t##3 = HIGH(t##3, r##0, x##2); \
        t##0 = LOW(t##0, r##1, w##3); t##1 = LOW(t##1, r##1, x##0); t##2 = LOW(t##2, r##1, x##1); t##3 = LOW(t##3, r##1, x##2);     \
        t##0 = HIGH(t##0, r##1, w##2); t##1 = HIGH(t##1, r##1, w##3); t##2 = HIGH(t##2, r##1, x##0); t##3 = HIGH(t##3, r##1, x##1); \
        t##0 = LOW(t##0, r##2, w##2); t##1 = LOW(t##1, r##2, w##3); t##2 = LOW(t##2, r##2, x##0); t##3 = LOW(t##3, r##2, x##1);     \
        t##0 = HIGH(t##0, r##2, w##1); t##1 = HIGH(t##1, r##2, w##2); t##2 = HIGH(t##2, r##2, w##3); t##3 = HIGH(t##3, r##2, x##0); \
        t##0 = LOW(t##0, r##3, w##1); t##1 = LOW(t##1, r##3, w##2); t##2 = LOW(t##2, r##3, w##3); t##3 = LOW(t##3, r##3, x##0);     \
        t##0 = HIGH(t##0, r##3, w##0); t##1 = HIGH(t##1, r##3, w##1); t##2 = HIGH(t##2, r##3, w##2); t##3 = HIGH(t##3, r##3, w##3); \
    } while (0)
#define HEAD4(t, r, x)                                                                                                      \
    do {                                                                                                                    \
        t##0 = LOW(t##0, r##0, x##0); t##1 = LOW(t##1, r##0, x##1); t##2 = LOW(t##2, r##0, x##2); t##3 = LOW(t##3, r##0, x##3);     \
        t##1 = HIGH(t##1, r##0, x##0); t##2 = HIGH(t##2, r##0, x##1); t##3 = HIGH(t##3, r##0, x##2);                                \
        t##1 = LOW(t##1, r##1, x##0); t##2 = LOW(t##2, r##1, x##1); t##3 = LOW(t##3, r##1, x##2);                                   \
        t##2 = HIGH(t##2, r##1, x##0); t##3 = HIGH(t##3, r##1, x##1);                                                       \
        t##2 = LOW(t##2, r##2, x##0); t##3 = LOW(t##3, r##2, x##1);                                                         \
        t##3 = HIGH(t##3, r##2, x##0);                                                                                      \
        t##3 = LOW(t##3, r##3, x##0);                                                                                       \
    } while (0)
#define TAIL4(t, r, w)                                                                                                      \
    do {                                                                                                                    \
        t##0 = HIGH(t##0, r##0, w##3);                                                                                      \
        t##0 = LOW(t##0, r##1, w##3);                                                                                       \
        t##0 = HIGH(t##0, r##1, w##2); t##1 = HIGH(t##1, r##1, w##3);                                                       \
        t##0 = LOW(t##0, r##2, w##2); t##1 = LOW(t##1, r##2, w##3);                                                         \
        t##0 = HIGH(t##0, r##2, w##1); t##1 = HIGH(t##1, r##2, w##2); t##2 = HIGH(t##2, r##2, w##3);                        \
        t##0 = LOW(t##0, r##3, w##1); t##1 = LOW(t##1, r##3, w##2); t##2 = LOW(t##2, r##3, w##3);                           \
        t##0 = HIGH(t##0, r##3, w##0); t##1 = HIGH(t##1, r##3, w##1); t##2 = HIGH(t##2, r##3, w##2); t##3 = HIGH(t##3, r##3, w##3); \
    } while (0)
#define ZERO4(t) V t##0 = SPREAD(0), t##1 = t##0, t##2 = t##0, t##3 = t##0
#define LOAD4(t, from) V t##0 = (from)[0], t##1 = (from)[1], t##2 = (from)[2], t##3 = (from)[3]
#define LIMBS4(t, f, i) V t##0 = LIMB(f, i), t##1 = LIMB(f, (i) + 1), t##2 = LIMB(f, (i) + 2), t##3 = LIMB(f, (i) + 3)
#define STORE4(to, t) do { (to)[0] = t##0; (to)[1] = t##1; (to)[2] = t##2; (to)[3] = t##3; } while (0)
#define MOVE4(t, u) do { t##0 = u##0; t##1 = u##1; t##2 = u##2; t##3 = u##3; } while (0)

/* t[0..count) += rows a0..a3 times the `count` limbs of b, and what is beyond to t[count..count+4), which held nothing. */
FN inline __attribute__((always_inline)) void NAME(rows)(V *t, V a0, V a1, V a2, V a3, const V *b, int count) {
    LOAD4(w, b);
    LOAD4(first, t);
    HEAD4(first, a, w);
    STORE4(t, first);
    for (int c = 4; c < count; c += 4) {
        LOAD4(x, b + c);
        LOAD4(u, t + c);
        FULL4(u, a, w, x);
        STORE4(t + c, u);
        MOVE4(w, x);
    }
    ZERO4(last);
    TAIL4(last, a, w);
    STORE4(t + count, last);
}

/* Limb k of the quotient, for columns t[0..4) that have everything but what this quotient's limbs add; its own column is then done. */
FN inline __attribute__((always_inline)) V NAME(quotient_limb)(V *t, const Field *f, int k) {
    const V q = LOW(SPREAD(0), t[k], K0(f));
    /* The low half of q n[0] makes the column's low limb zero: what is carried is the column over 2^52, rounded up. */
    t[k + 1] += (t[k] + SPREAD(MASK)) >> 52;
    for (int j = 1; k + j < 4; j++) t[k + j] = LOW(HIGH(t[k + j], q, LIMB(f, j - 1)), q, LIMB(f, j));
    return q;
}

/* All four of them. */
FN inline __attribute__((always_inline)) void NAME(quotient_limbs)(V *q, V *t, const Field *f) {
    V columns[5] = {t[0], t[1], t[2], t[3], t[4]};
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) q[k] = NAME(quotient_limb)(columns, f, k);
    t[4] = columns[4];
}

/* T / R mod n in T[L..2L), T < R n. A row's quotient is found among the columns that do not wait for it. */
FN void NAME(reduce_all)(V *T, const Field *f, V *q) {
    const int L = f->limbs;
    NAME(quotient_limbs)(q, T, f);
#define STEP(c)                 \
    do {                        \
        LIMBS4(m, f, c);        \
        LOAD4(u, t + (c));      \
        FULL4(u, q, w, m);      \
        STORE4(t + (c), u);     \
        MOVE4(w, m);            \
    } while (0)
    for (int i = 0; i < L; i += 4) {
        LOAD4(q, q + i);
        V *t = T + i;
        LIMBS4(w, f, 0);
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
                NAME(quotient_limbs)(q + i + 4, t + 4, f);
        }
        for (; c < L; c += 4) STEP(c);
        LOAD4(last, t + L);
        TAIL4(last, q, w);
        STORE4(t + L, last);
    }
#undef STEP
}

/* T[L..2L) = (T + a b) / R mod n, and with `other` (T + a b + other y) / R, for a T of L columns.
   Four columns get the terms of a, while the four before them get those of the quotient: sums that wait for each other are half as long. */
FN inline __attribute__((always_inline)) void NAME(fused)(V *T, const V *a, const V *b, const V *other, const V *y, const Field *f, V *quotient) {
    const int L = f->limbs;
    if (other) NAME(rows)(T, other[0], other[1], other[2], other[3], y, L);
    {
        LOAD4(r, a);
        LOAD4(x, b);
        LOAD4(u, T);
        HEAD4(u, r, x);
        STORE4(T, u);
    }
    NAME(quotient_limbs)(quotient, T, f);
#define STEP(c)                     \
    do {                            \
        LOAD4(x, b + (c));          \
        LOAD4(z, t + (c));          \
        FULL4(z, r, v, x);          \
        LIMBS4(w, f, (c) - 8);      \
        LIMBS4(m, f, (c) - 4);      \
        FULL4(u, q, w, m);          \
        STORE4(t + (c) - 4, u);     \
        MOVE4(v, x);                \
        MOVE4(u, z);                \
    } while (0)
    for (int i = 0; i < L; i += 4) {
        LOAD4(r, a + i);
        LOAD4(q, quotient + i);
        V *t = T + i;
        if (other && i + 4 < L) NAME(rows)(t + 4, other[i + 4], other[i + 5], other[i + 6], other[i + 7], y, L);
        LOAD4(v, b);
        LOAD4(u, t + 4);
        if (i + 4 < L) {
            LOAD4(next, a + i + 4);
            HEAD4(u, next, v);
        }
        {
            LOAD4(x, b + 4);
            FULL4(u, r, v, x);
            MOVE4(v, x);
        }
        int c = 8;
        const int among = i + 4 < L && L >= 24;
        if (among)
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++) {
                STEP(c);
                c += 4;
                quotient[i + 4 + k] = NAME(quotient_limb)(t + 4, f, k);
            }
        for (; c < L; c += 4) STEP(c);
        LIMBS4(w, f, L - 8);
        LIMBS4(m, f, L - 4);
        FULL4(u, q, w, m);
        STORE4(t + L - 4, u);
        ZERO4(last);
        if (other) {
            LOAD4(held, t + L);
            MOVE4(last, held);
        }
        TAIL4(last, r, v);
        TAIL4(last, q, m);
        STORE4(t + L, last);
        if (!among && i + 4 < L)
            NAME(quotient_limbs)(quotient + i + 4, t + 4, f);
    }
#undef STEP
}

#define TRIANGLE(t, r)                                                        \
    do {                                                                      \
        (t)[1] = LOW((t)[1], r##0, r##1);                                     \
        (t)[2] = LOW(HIGH((t)[2], r##0, r##1), r##0, r##2);                   \
        (t)[3] = LOW(LOW(HIGH((t)[3], r##0, r##2), r##0, r##3), r##1, r##2);  \
        (t)[4] = LOW(HIGH(HIGH((t)[4], r##0, r##3), r##1, r##2), r##1, r##3); \
        (t)[5] = LOW(HIGH((t)[5], r##1, r##3), r##2, r##3);                   \
        (t)[6] = HIGH((t)[6], r##2, r##3);                                    \
    } while (0)

/* T[0..2L) = a². */
FN void NAME(square)(V *T, const V *a, int L) {
    ZERO4(none);
    for (int i = 0; i < L; i++) T[i] = SPREAD(0);
    STORE4(T + 2 * L - 4, none);
    for (int i = 0, rows; i < L; i += rows) {
        V *t = T + 2 * i;
        const V *b = a + i;
        const int M = L - i;
        rows = M < 12 ? 4 : 8;
        LOAD4(r, b);
        TRIANGLE(t, r);
        if (rows == 4) {
            if (M > 4) NAME(rows)(t + 4, r0, r1, r2, r3, b + 4, M - 4);
        } else {
            /* Eight rows: each limb goes to four columns with the rows r, and to the next four with the rows p. */
            STORE4(t + M, none);
            LOAD4(p, b + 4);
            LOAD4(x, b + 8);
            LOAD4(first, t + 4);
            HEAD4(first, r, p);
            STORE4(t + 4, first);
            TRIANGLE(t + 8, p);
            LOAD4(second, t + 8);
            FULL4(second, r, p, x);
            STORE4(t + 8, second);
            LOAD4(u, t + 12);
            HEAD4(u, p, x);
            for (int c = 12; c < M; c += 4) {
                LOAD4(y, b + c);
                FULL4(u, r, x, y);
                STORE4(t + c, u);
                LOAD4(z, t + c + 4);
                FULL4(z, p, x, y);
                MOVE4(u, z);
                MOVE4(x, y);
            }
            TAIL4(u, r, x);
            STORE4(t + M, u);
            ZERO4(last);
            TAIL4(last, p, x);
            STORE4(t + M + 4, last);
        }
        for (int k = 0; k < rows; k++) {
            t[2 * k] = LOW(t[2 * k] + t[2 * k], b[k], b[k]);
            t[2 * k + 1] = HIGH(t[2 * k + 1] + t[2 * k + 1], b[k], b[k]);
        }
    }
}

/* out = T, carried. */
FN void NAME(carry)(V *out, const V *T, int limbs) {
    const V mask = SPREAD(MASK);
    V carried = SPREAD(0);
    for (int i = 0; i < limbs; i++) {
        const V s = T[i] + carried;
        out[i] = s & mask;
        carried = s >> 52;
    }
}

/* out = a b / R mod n. */
FN void NAME(times)(V *out, const V *a, const V *b, const Field *f, Scratch *s) {
    V *T = s->wide;
    for (int i = 0; i < f->limbs; i++) T[i] = SPREAD(0);
    NAME(fused)(T, a, b, 0, 0, f, s->quotient);
    NAME(carry)(out, T + f->limbs, f->limbs);
}

FN void NAME(squared)(V *out, const V *a, const Field *f, Scratch *s) {
    NAME(square)(s->wide, a, f->limbs);
    NAME(reduce_all)(s->wide, f, s->quotient);
    NAME(carry)(out, s->wide + f->limbs, f->limbs);
}

/* T = offset - quotient: offset is a multiple of n that no quotient exceeds, with limbs that no limb of a quotient exceeds. */
FN void NAME(less_quotient)(V *T, const Field *f, const V *quotient) {
    for (int i = 0; i < f->limbs; i++) T[i] = SPREAD(f->offset[i]) - quotient[i];
}

/* Pairs are 2L limbs: x0, then x1. out may be a or b. */
FN void NAME(pair_times)(V *out, const V *a, const V *y, const Field *f, Scratch *s) {
    const int L = f->limbs;
    V *T = s->wide, *low = s->spare;
    NAME(times)(low, a, y, f, s);
    NAME(less_quotient)(T, f, s->quotient);
    NAME(fused)(T, a, y + L, a + L, y, f, s->quotient);
    NAME(carry)(out + L, T + L, L);
    for (int i = 0; i < L; i++) out[i] = low[i];
}

FN void NAME(pair_squared)(V *out, const V *a, const Field *f, Scratch *s) {
    const int L = f->limbs;
    V *T = s->wide, *twice = s->spare;
    /* 2 x0 x1 - m: x0 doubled first, which its free bits allow. */
    V carried = SPREAD(0);
    for (int i = 0; i < L; i++) {
        const V d = a[i] + a[i] + carried;
        twice[i] = d & SPREAD(MASK);
        carried = d >> 52;
    }
    NAME(squared)(out, a, f, s);
    NAME(less_quotient)(T, f, s->quotient);
    NAME(fused)(T, twice, a + L, 0, 0, f, s->quotient);
    NAME(carry)(out + L, T + L, L);
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

/* x[i][l] and x[l][i] change places: ever larger squares across the diagonal. */
FN inline __attribute__((always_inline)) void NAME(turn)(V *x) {
    const V at = {0, 1, 2, 3, 4, 5, 6, 7};
#pragma GCC unroll 3
    for (int size = 1; size < LANES; size *= 2) {
        const V own = (V)((at & (uint64_t)size) == 0), above = (own & at) | (~own & (at + 8 - size)), below = (own & (at + size)) | (~own & (at + 8));
#pragma GCC unroll 8
        for (int l = 0; l < LANES; l++)
            if (!(l & size)) {
                const V a = x[l], b = x[l + size];
                x[l] = MIX(a, above, b);
                x[l + size] = MIX(a, below, b);
            }
    }
}

/* out[i][l] = rows[l][i] for `width` words, a multiple of eight. */
FN void NAME(transpose)(V *out, uint64_t *const *rows, size_t width) {
    for (size_t i = 0; i < width; i += LANES) {
        V x[LANES];
        for (int l = 0; l < LANES; l++) memcpy(x + l, rows[l] + i, sizeof(V));
        NAME(turn)(x);
        for (int l = 0; l < LANES; l++) out[i + l] = x[l];
    }
}

/* rows[l][i] = from[i][l], and zeros for i from `width` up to the next multiple of eight. */
FN void NAME(transpose_back)(uint64_t *const *rows, const V *from, size_t width) {
    for (size_t i = 0; i < width; i += LANES) {
        V x[LANES];
        for (size_t l = 0; l < LANES; l++) x[l] = i + l < width ? from[i + l] : SPREAD(0);
        NAME(turn)(x);
        for (size_t l = 0; l < LANES; l++) memcpy(rows[l] + i, x + l, sizeof(V));
    }
}

/* Lane l gets the number at numbers + l bytes, lanes beyond `present` 0. Of pairs it is x / R: x + m n = R t gives t - n (m / R). */
FN void NAME(load)(const Job *j, V *out, const uint8_t *numbers, size_t present, Scratch *s) {
    const Field *f = &j->field;
    const int L = f->limbs;
    V *T = j->pairs ? s->wide : out;
    read_limbs(T, j->width, numbers, j->bytes, present);
    if (j->pairs) {
        NAME(reduce_all)(T, f, s->quotient);
        NAME(carry)(out, T + L, L);
        NAME(less_quotient)(T, f, s->quotient);
        for (int i = L; i < 2 * L; i++) T[i] = SPREAD(0);
        NAME(reduce_all)(T, f, s->quotient);
        NAME(carry)(out + L, T + L, L);
    }
}

/* x + add, in [0, 2n), to [0, n): 1 in the lanes that n was taken from. */
FN V NAME(settle)(V *x, V add, const Field *f, V *less) {
    const V mask = SPREAD(MASK);
    V borrow = SPREAD(0);
    for (int i = 0; i < f->limbs; i++) {
        const V s = x[i] + add, d = (s & mask) - LIMB(f, i) - borrow;
        x[i] = s & mask;
        add = s >> 52;
        less[i] = d & mask;
        borrow = d >> 63;
    }
    const V keep = SPREAD(0) - borrow;
    for (int i = 0; i < f->limbs; i++) x[i] = (x[i] & keep) | (less[i] & ~keep);
    return SPREAD(1) - borrow;
}

/* The lanes' numbers, below the modulus, at out + l stride. x is spent. */
FN void NAME(store)(const Job *j, V *x, uint8_t *out, size_t stride, size_t present, Scratch *s) {
    const Field *f = &j->field;
    const int L = f->limbs, W = j->width;
    const V carried = NAME(settle)(x, SPREAD(0), f, s->quotient);
    if (j->pairs) {
        V *T = s->wide, *n = s->quotient;
        NAME(settle)(x + L, carried, f, s->quotient);
        NAME(spread)(n, f->n, L);
        for (int i = 0; i < L; i++) T[i] = x[i];
        for (int i = 0; i < L; i += 4) NAME(rows)(T + i, x[L + i], x[L + i + 1], x[L + i + 2], x[L + i + 3], n, L);
        NAME(carry)(x, T, W);
    }
    for (size_t k = 0; 8 * k < j->bytes; k++) {
        const int i = (int)(64 * k / 52), shift = (int)(64 * k % 52);
        V word = x[i] >> shift;
        if (i + 1 < W) word |= x[i + 1] << (52 - shift);
        if (i + 2 < W && shift > 40) word |= x[i + 2] << (104 - shift);
        for (size_t l = 0; l < LANES && l < present; l++) write_word(out + l * stride, j->bytes, k, word[l]);
    }
}

/* Whole calls, eight numbers at a time. `a` is the call's own memory. */

FN void NAME(powers)(const Job *j, Arena *a, const uint8_t *bases, size_t count, const uint8_t *exponent, int exponent_bits, uint8_t *out) {
    const int bits = window_for(exponent_bits);
    V *enter = a->first, *x = a->second, *one = a->third;
    NAME(spread)(enter, j->enter, j->width);
    for (size_t i = 0; i < count; i += LANES) {
        NAME(load)(j, x, bases + i * j->bytes, count - i, &a->scratch);
        NAME(by)(j, x, x, enter, &a->scratch);
        NAME(power)(j, x, exponent, exponent_bits, bits, a->table, &a->scratch);
        NAME(plain)(j, x, x, one, &a->scratch);
        NAME(store)(j, x, out + i * j->bytes, j->bytes, count - i, &a->scratch);
    }
}

/* table[digit][d] = base^(d 256^digit) in Montgomery's form: rows side by side, each from its row's step. */
FN void NAME(comb_table)(const Job *j, Arena *a, const uint8_t *base, size_t digits, uint64_t *table) {
    const int W = j->width;
    const size_t stride = stride_of(W);
    V *step = a->first, *x = a->second, *steps = a->third;
    NAME(load)(j, step, base, 1, &a->scratch);
    NAME(spread)(x, j->enter, W);
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
                for (int i = 0; i < W; i++) table[((row + l) * 256 + d) * stride + i] = ((uint64_t *)x)[i * LANES + l];
            if (d < 255) NAME(by)(j, x, x, steps, &a->scratch);
        }
    }
}

FN void NAME(comb_powers)(const Job *j, Arena *a, const uint64_t *table, size_t digits, const uint8_t *exponents, size_t count, uint8_t *out) {
    const size_t W = (size_t)j->width, stride = stride_of(W);
    V *entry = a->second, *one = a->third;
    /* Row by row over all numbers: a row stays in the cache while they pick from it, the whole table does not. */
    for (size_t row = 0; row < digits; row++)
        for (size_t i = 0; i < count; i += LANES) {
            V *x = a->table + i / LANES * W;
            uint64_t *picked[LANES];
            for (size_t l = 0; l < LANES; l++) picked[l] = (uint64_t *)table + (row * 256 + (i + l < count ? exponents[(i + l) * digits + row] : 0)) * stride;
            NAME(transpose)(entry, picked, stride);
            if (row)
                NAME(by)(j, x, x, entry, &a->scratch);
            else
                memcpy(x, entry, W * sizeof(V));
        }
    for (size_t i = 0; i < count; i += LANES) {
        V *x = a->table + i / LANES * W;
        NAME(plain)(j, x, x, one, &a->scratch);
        NAME(store)(j, x, out + i * j->bytes, j->bytes, count - i, &a->scratch);
    }
}

/* Column by column the product of `depth` rows of numbers, or every prefix's product, those of a column one after the other. fixes has the
   power of R that takes out what loads, products and itself divided by: for every prefix, or for all rows. */
FN void NAME(products)(const Job *j, Arena *a, const uint8_t *numbers, size_t columns, size_t depth, int prefixes, const uint64_t *fixes, uint8_t *out) {
    V *x = a->first, *next = a->second, *fix = a->third;
    const size_t stride = prefixes ? depth * j->bytes : j->bytes;
    for (size_t i = 0; i < columns; i += LANES)
        for (size_t t = 0; t < depth; t++) {
            NAME(load)(j, t ? next : x, numbers + (t * columns + i) * j->bytes, columns - i, &a->scratch);
            if (t) NAME(by)(j, x, x, next, &a->scratch);
            if (prefixes || t + 1 == depth) {
                NAME(spread)(fix, prefixes ? fixes + t * (size_t)j->width : fixes, j->width);
                NAME(by)(j, next, x, fix, &a->scratch);
                NAME(store)(j, next, out + i * stride + (prefixes ? t * j->bytes : 0), stride, columns - i, &a->scratch);
            }
        }
}

/* Products of powers. Digits below `radix` come in rows, digits[row * count + base], and products[row] is that of base^digit over all bases, in
   Montgomery's form. Eight rows lie side by side. After the last eight stands the product of all bases, each once, where it is asked for. */

FN inline void NAME(pick)(uint64_t **picked, uint64_t *numbers, size_t apart, size_t stride, const uint16_t *digits, size_t count, size_t rows) {
    for (size_t l = 0; l < LANES; l++) picked[l] = numbers + (l * apart + (l < rows ? digits[l * count] : 0)) * stride;
}

/* Lane l's number at numbers + l apart stride. */
FN inline void NAME(lay)(uint64_t *numbers, size_t apart, size_t stride, const V *x, size_t width) {
    uint64_t *to[LANES];
    for (size_t l = 0; l < LANES; l++) to[l] = numbers + l * apart * stride;
    NAME(transpose_back)(to, x, width);
}

/* x = eight of the bases in Montgomery's form. */
FN void NAME(enter)(const Job *j, V *x, const uint8_t *bases, size_t present, V *enter, Scratch *s) {
    NAME(spread)(enter, j->enter, j->width);
    NAME(load)(j, x, bases, present, s);
    NAME(by)(j, x, x, enter, s);
}

/* All rows use one table of each base's powers, which is made for eight bases at a time (Straus 1964). */
FN void NAME(by_tables)(const Job *j, Arena *a, V *room, const uint8_t *bases, size_t count, const uint16_t *digits, size_t rows, size_t radix, int whole, uint64_t *products) {
    const size_t W = (size_t)j->width, stride = stride_of(W), groups = (rows + LANES - 1) / LANES;
    V *x = a->first, *entry = a->second, *base = a->second, *every = a->third, *totals = room;
    uint64_t *table = (uint64_t *)(totals + groups * stride), *picked[LANES];
    NAME(spread)(every, j->one, j->width);
    for (size_t g = 0; g < groups; g++) NAME(spread)(totals + g * W, j->one, j->width);
    for (size_t b = 0; b < count; b += LANES) {
        NAME(enter)(j, base, bases + b * j->bytes, count - b, x, &a->scratch);
        NAME(spread)(x, j->one, j->width);
        for (size_t d = 0; d < radix; d++) {
            if (d == 1)
                memcpy(x, base, W * sizeof(V));
            else if (d)
                NAME(by)(j, x, x, base, &a->scratch);
            NAME(lay)(table + d * stride, radix, stride, x, W);
        }
        for (size_t g = 0; g < groups; g++)
            for (size_t k = 0; k < LANES && b + k < count; k++) {
                NAME(pick)(picked, table + k * radix * stride, 0, stride, digits + g * LANES * count + b + k, count, rows - g * LANES);
                NAME(transpose)(entry, picked, stride);
                NAME(by)(j, totals + g * W, totals + g * W, entry, &a->scratch);
            }
        for (size_t k = 0; whole && k < LANES && b + k < count; k++) {
            NAME(spread)(entry, table + (k * radix + 1) * stride, j->width);
            NAME(by)(j, every, every, entry, &a->scratch);
        }
    }
    for (size_t g = 0; g < groups; g++) NAME(lay)(products + g * LANES * stride, 1, stride, totals + g * W, W);
    NAME(lay)(products + groups * LANES * stride, 1, stride, every, W);
}

/* Every row takes its bases in the order of their digits, the greatest first: `running` is the product of those so far, and `total` is
   multiplied by it once for each digit, so that a base gets into it as often as its digit says (Pippenger 1976, where each digit has a bucket).
   Lanes are at different bases, or one takes a base while another has come to a digit's end, and all take as many steps. In the end `running` is
   the product of all bases, which costs nothing here. */
FN void NAME(by_order)(const Job *j, Arena *a, V *room, const uint8_t *bases, size_t count, const uint16_t *digits, size_t rows, size_t radix, uint64_t *products) {
    const size_t W = (size_t)j->width, stride = stride_of(W), steps = count + radix - 1;
    V *running = a->first, *entry = a->second, *total = a->third, *held = room;
    uint64_t *entered = (uint64_t *)(held + stride), *picked[LANES];
    uint32_t *order = (uint32_t *)(entered + (count + LANES - 1) / LANES * LANES * stride);
    for (size_t b = 0; b < count; b += LANES) {
        NAME(enter)(j, held, bases + b * j->bytes, count - b, entry, &a->scratch);
        NAME(lay)(entered + b * stride, 1, stride, held, W);
    }
    for (size_t row = 0; row < rows; row += LANES) {
        for (size_t l = 0; l < LANES; l++) order_of(order + l, digits + (row + l < rows ? row + l : row) * count, count, radix);
        NAME(spread)(running, j->one, j->width);
        NAME(spread)(total, j->one, j->width);
        for (size_t s = 0; s < steps; s++) {
            V end = SPREAD(0);
            for (size_t l = 0; l < LANES; l++) {
                const uint32_t base = order[s * LANES + l], next = order[(s + 1 < steps ? s + 1 : s) * LANES + l];
                end[l] = 0 - (uint64_t)(base == DIGITS_END);
                picked[l] = entered + (base == DIGITS_END ? 0 : base) * stride;
                if (next != DIGITS_END)
                    for (size_t i = 0; i < stride; i += 8) __builtin_prefetch(entered + next * stride + i);
            }
            NAME(transpose)(entry, picked, stride);
            for (size_t i = 0; i < W; i++) {
                held[i] = (total[i] & end) | (running[i] & ~end);
                entry[i] = (running[i] & end) | (entry[i] & ~end);
            }
            NAME(by)(j, held, held, entry, &a->scratch);
            for (size_t i = 0; i < W; i++) {
                total[i] = (held[i] & end) | (total[i] & ~end);
                running[i] = (running[i] & end) | (held[i] & ~end);
            }
        }
        NAME(lay)(products + row * stride, 1, stride, total, W);
    }
    NAME(lay)(products + (rows + LANES - 1) / LANES * LANES * stride, 1, stride, running, W);
}

/* For each row the product of base^exponent, the exponent's digits in rows `row`, rows + row, 2 rows + row, … of all digits, the lowest first.
   With `whole` the product of all bases follows. */
FN void NAME(multi_powers)(
    const Job *j, Arena *a, const uint8_t *bases, size_t count, const uint16_t *digits, size_t rows, size_t windows, size_t radix, int whole, uint8_t *out) {
    const size_t W = (size_t)j->width, stride = stride_of(W), all = windows * rows;
    uint64_t *products = (uint64_t *)a->table, *picked[LANES];
    V *x = a->first, *entry = a->second, *room = a->table + ((all + LANES - 1) / LANES + 1) * stride;
    /* A table costs an eighth of a product for each power of each base, an order one for each digit of every eight rows. */
    if (count <= (all + LANES - 1) / LANES * LANES)
        NAME(by_tables)(j, a, room, bases, count, digits, all, radix, whole, products);
    else
        NAME(by_order)(j, a, room, bases, count, digits, all, radix, products);
    for (size_t row = 0; row < rows; row += LANES) {
        for (size_t w = windows; w-- > 0;) {
            if (w + 1 < windows) {
                memcpy(entry, x, W * sizeof(V));
                for (int bit = 62 - __builtin_clzll(radix); bit >= 0; bit--) {
                    NAME(twice_by)(j, x, x, &a->scratch);
                    if (radix >> bit & 1) NAME(by)(j, x, x, entry, &a->scratch);
                }
            }
            for (size_t l = 0; l < LANES; l++) picked[l] = products + (w * rows + (row + l < rows ? row + l : row)) * stride;
            NAME(transpose)(w + 1 < windows ? entry : x, picked, stride);
            if (w + 1 < windows) NAME(by)(j, x, x, entry, &a->scratch);
        }
        NAME(plain)(j, x, x, entry, &a->scratch);
        NAME(store)(j, x, out + row * j->bytes, j->bytes, rows - row, &a->scratch);
    }
    if (whole) {
        NAME(spread)(x, products + (all + LANES - 1) / LANES * LANES * stride, j->width);
        NAME(plain)(j, x, x, entry, &a->scratch);
        NAME(store)(j, x, out + rows * j->bytes, j->bytes, 1, &a->scratch);
    }
}

/* Column by column the product of base^exponent over `depth` rows of bases, each with an exponent of its own: eight columns lie side by side, each
   lane picks from tables of its own bases' powers, and a column's bases share its squarings (Straus 1964). */
FN void NAME(column_powers)(const Job *j, Arena *a, const uint8_t *bases, size_t columns, size_t depth, const uint8_t *exponents, size_t exponent_bytes, uint8_t *out) {
    const size_t W = (size_t)j->width, stride = stride_of(W);
    const int length = (int)exponent_bytes * 8, bits = window_for(length);
    const size_t radix = (size_t)1 << bits;
    V *x = a->first, *base = a->second, *entry = a->third;
    uint64_t *tables = (uint64_t *)a->table, *picked[LANES];
    for (size_t c = 0; c < columns; c += LANES) {
        for (size_t t = 0; t < depth; t++) {
            uint64_t *table = tables + t * LANES * radix * stride;
            NAME(enter)(j, base, bases + (t * columns + c) * j->bytes, columns - c, x, &a->scratch);
            NAME(spread)(x, j->one, j->width);
            for (size_t d = 0; d < radix; d++) {
                if (d) NAME(by)(j, x, x, base, &a->scratch);
                NAME(lay)(table + d * stride, radix, stride, x, W);
            }
        }
        NAME(spread)(x, j->one, j->width);
        for (int w = (length + bits - 1) / bits; w-- > 0;) {
            for (int i = 0; i < bits; i++) NAME(twice_by)(j, x, x, &a->scratch);
            for (size_t t = 0; t < depth; t++) {
                for (size_t l = 0; l < LANES; l++) {
                    const uint8_t *exponent = exponents + (t * columns + (c + l < columns ? c + l : c)) * exponent_bytes;
                    picked[l] = tables + ((t * LANES + l) * radix + window_of(exponent, length, w * bits, bits)) * stride;
                }
                NAME(transpose)(entry, picked, stride);
                NAME(by)(j, x, x, entry, &a->scratch);
            }
        }
        NAME(plain)(j, x, x, entry, &a->scratch);
        NAME(store)(j, x, out + c * j->bytes, j->bytes, columns - c, &a->scratch);
    }
}

/* For each number its base^exponent modulo a number of its own, in lanes that share nothing. `ones` are R, and `enters` R², modulo each. */
FN void NAME(own_powers)(const Job *j, Arena *a, const uint8_t *moduli, const uint8_t *bases, const uint8_t *ones, const uint8_t *enters, size_t count, const uint8_t *exponents, size_t exponent_bytes, uint8_t *out) {
    const size_t L = (size_t)j->width, stride = stride_of(L);
    const int length = (int)exponent_bytes * 8, bits = window_for(length);
    const size_t radix = (size_t)1 << bits;
    V *n = a->table, *one = n + stride, *base = one + stride, *x = a->first, *entry = a->second;
    uint64_t *table = (uint64_t *)(base + stride), *picked[LANES];
    for (size_t c = 0; c < count; c += LANES) {
        const size_t at = c * j->bytes, present = count - c;
        V k0;
        read_limbs(n, j->width, moduli + at, j->bytes, present);
        read_limbs(one, j->width, ones + at, j->bytes, present);
        read_limbs(base, j->width, bases + at, j->bytes, present);
        read_limbs(x, j->width, enters + at, j->bytes, present);
        for (size_t l = 0; l < LANES; l++) k0[l] = minus_inverse(n[0][l]);
        const Field f = {j->width, 0, (const uint64_t *)n, 0, &k0};
        NAME(times)(base, base, x, &f, &a->scratch);
        memcpy(x, one, L * sizeof(V));
        for (size_t d = 0; d < radix; d++) {
            if (d) NAME(times)(x, x, base, &f, &a->scratch);
            NAME(lay)(table + d * stride, radix, stride, x, L);
        }
        memcpy(x, one, L * sizeof(V));
        for (int w = (length + bits - 1) / bits; w-- > 0;) {
            for (int i = 0; i < bits; i++) NAME(squared)(x, x, &f, &a->scratch);
            for (size_t l = 0; l < LANES; l++) {
                const uint8_t *exponent = exponents + (l < present ? c + l : c) * exponent_bytes;
                picked[l] = table + (l * radix + window_of(exponent, length, w * bits, bits)) * stride;
            }
            NAME(transpose)(entry, picked, stride);
            NAME(times)(x, x, entry, &f, &a->scratch);
        }
        for (size_t i = 0; i < L; i++) entry[i] = SPREAD(0);
        entry[0] = SPREAD(1);
        NAME(times)(x, x, entry, &f, &a->scratch);
        const Job own = {.field = f, .pairs = 0, .width = j->width, .bytes = j->bytes};
        NAME(store)(&own, x, out + at, j->bytes, present, &a->scratch);
    }
}
