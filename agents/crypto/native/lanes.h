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

/* t += lo(a_r b) + hi(a_r b) for four rows a0..a3 over `count` limbs of b, where b[j] is NEXT(j). */
#define MAC4(T, a0, a1, a2, a3, NEXT, count)                                                                                     \
    do {                                                                                                                         \
        V *mac_t = (T);                                                                                                          \
        V p1 = SPREAD(0), p2 = p1, p3 = p1, p4 = p1;                                                                             \
        const int mac_count = (count);                                                                                           \
        for (int c = 0; c < mac_count; c++) {                                                                                    \
            const V x = NEXT(c);                                                                                                 \
            V t = mac_t[c];                                                                                                      \
            t = LOW(t, a0, x);                                                                                                   \
            t = LOW(t, a1, p1);                                                                                                  \
            t = HIGH(t, a0, p1);                                                                                                 \
            t = LOW(t, a2, p2);                                                                                                  \
            t = HIGH(t, a1, p2);                                                                                                 \
            t = LOW(t, a3, p3);                                                                                                  \
            t = HIGH(t, a2, p3);                                                                                                 \
            t = HIGH(t, a3, p4);                                                                                                 \
            mac_t[c] = t;                                                                                                        \
            p4 = p3;                                                                                                             \
            p3 = p2;                                                                                                             \
            p2 = p1;                                                                                                             \
            p1 = x;                                                                                                              \
        }                                                                                                                        \
        V *end = mac_t + mac_count;                                                                                              \
        end[0] = HIGH(HIGH(HIGH(HIGH(LOW(LOW(LOW(end[0], a1, p1), a2, p2), a3, p3), a0, p1), a1, p2), a2, p3), a3, p4);           \
        end[1] = HIGH(HIGH(HIGH(LOW(LOW(end[1], a2, p1), a3, p2), a1, p1), a2, p2), a3, p3);                                      \
        end[2] = HIGH(HIGH(LOW(end[2], a3, p1), a2, p1), a3, p2);                                                                \
        end[3] = HIGH(end[3], a3, p1);                                                                                           \
    } while (0)

#define LIMB_OF_B(j) b[j]

/* T[0..2L) += a b. */
FN void NAME(multiply)(V *T, const V *a, const V *b, int L) {
    for (int i = 0; i < L; i += 4) {
        MAC4(T + i, a[i], a[i + 1], a[i + 2], a[i + 3], LIMB_OF_B, L);
    }
}

/* T[0..2L) = a². */
FN void NAME(square)(V *T, const V *a, int L) {
    for (int i = 0; i < 2 * L; i++) T[i] = SPREAD(0);
    for (int i = 0; i < L; i += 4) {
        const V a0 = a[i], a1 = a[i + 1], a2 = a[i + 2], a3 = a[i + 3];
        V *t = T + 2 * i;
        t[1] = LOW(t[1], a0, a1);
        t[2] = LOW(HIGH(t[2], a0, a1), a0, a2);
        t[3] = LOW(LOW(HIGH(t[3], a0, a2), a0, a3), a1, a2);
        t[4] = LOW(HIGH(HIGH(t[4], a0, a3), a1, a2), a1, a3);
        t[5] = LOW(HIGH(t[5], a1, a3), a2, a3);
        t[6] = HIGH(t[6], a2, a3);
        if (i + 4 < L) {
            const V *b = a + i + 4;
            MAC4(t + 4, a0, a1, a2, a3, LIMB_OF_B, L - i - 4);
        }
    }
    for (int i = 0; i < L; i++) {
        T[2 * i] = LOW(T[2 * i] + T[2 * i], a[i], a[i]);
        T[2 * i + 1] = HIGH(T[2 * i + 1] + T[2 * i + 1], a[i], a[i]);
    }
}

#define LIMB_OF_N(j) SPREAD(n[j])

/* Four rows of Montgomery's reduction from column i on; the four limbs of the quotient go to q. */
FN void NAME(reduce_rows)(V *T, int i, const Field *f, V *q) {
    const uint64_t *n = f->n;
    const V k0 = SPREAD(f->k0), zero = SPREAD(0);
    const V n0 = SPREAD(n[0]), n1 = SPREAD(n[1]), n2 = SPREAD(n[2]), n3 = SPREAD(n[3]);
    V *t = T + i;
    V t0 = t[0], t1 = t[1], t2 = t[2], t3 = t[3];
    const V q0 = LOW(zero, t0, k0);
    t0 = LOW(t0, q0, n0);
    t1 = LOW(HIGH(t1 + (t0 >> 52), q0, n0), q0, n1);
    const V q1 = LOW(zero, t1, k0);
    t1 = LOW(t1, q1, n0);
    t2 = LOW(HIGH(t2, q0, n1), q0, n2);
    t2 = LOW(HIGH(t2 + (t1 >> 52), q1, n0), q1, n1);
    const V q2 = LOW(zero, t2, k0);
    t2 = LOW(t2, q2, n0);
    t3 = LOW(LOW(HIGH(HIGH(t3, q0, n2), q1, n1), q0, n3), q1, n2);
    t3 = LOW(HIGH(t3 + (t2 >> 52), q2, n0), q2, n1);
    const V q3 = LOW(zero, t3, k0);
    t3 = LOW(t3, q3, n0);
    t[4] += t3 >> 52;
    q[0] = q0;
    q[1] = q1;
    q[2] = q2;
    q[3] = q3;
    /* Columns i+4 and up; those below are done. */
    V p1 = n3, p2 = n2, p3 = n1, p4 = n0;
    const int L = f->limbs;
    for (int c = 4; c < L; c++) {
        const V x = SPREAD(n[c]);
        V s = t[c];
        s = LOW(s, q0, x);
        s = LOW(s, q1, p1);
        s = HIGH(s, q0, p1);
        s = LOW(s, q2, p2);
        s = HIGH(s, q1, p2);
        s = LOW(s, q3, p3);
        s = HIGH(s, q2, p3);
        s = HIGH(s, q3, p4);
        t[c] = s;
        p4 = p3;
        p3 = p2;
        p2 = p1;
        p1 = x;
    }
    V *end = t + L;
    end[0] = HIGH(HIGH(HIGH(HIGH(LOW(LOW(LOW(end[0], q1, p1), q2, p2), q3, p3), q0, p1), q1, p2), q2, p3), q3, p4);
    end[1] = HIGH(HIGH(HIGH(LOW(LOW(end[1], q2, p1), q3, p2), q1, p1), q2, p2), q3, p3);
    end[2] = HIGH(HIGH(LOW(end[2], q3, p1), q2, p1), q3, p2);
    end[3] = HIGH(end[3], q3, p1);
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

/* out = T / R mod n, T < R n; q gets the quotient's L limbs. */
FN void NAME(reduce)(V *out, V *T, const Field *f, V *q) {
    for (int i = 0; i < f->limbs; i += 4) NAME(reduce_rows)(T, i, f, q + i);
    NAME(carry)(out, T, f->limbs);
}

/* out = a b / R mod n. Reducing behind each four rows hides the quotient's latency. */
FN void NAME(times)(V *out, const V *a, const V *b, const Field *f, Scratch *s) {
    const int L = f->limbs;
    V *T = s->wide;
    for (int i = 0; i < 2 * L; i++) T[i] = SPREAD(0);
    for (int i = 0; i < L; i += 4) {
        MAC4(T + i, a[i], a[i + 1], a[i + 2], a[i + 3], LIMB_OF_B, L);
        NAME(reduce_rows)(T, i, f, s->quotient + i);
    }
    NAME(carry)(out, T, L);
}

FN void NAME(squared)(V *out, const V *a, const Field *f, Scratch *s) {
    NAME(square)(s->wide, a, f->limbs);
    NAME(reduce)(out, s->wide, f, s->quotient);
}

/* T += offset - quotient: offset is a multiple of n that no quotient exceeds, with limbs that no limb of a quotient exceeds. */
FN void NAME(take_quotient)(V *T, const Field *f, const V *quotient) {
    for (int i = 0; i < f->limbs; i++) T[i] += SPREAD(f->offset[i]) - quotient[i];
    T[f->limbs] += SPREAD(f->offset[f->limbs]);
}

/* Pairs are 2L limbs: x0, then x1. out may be a or b. */
FN void NAME(pair_times)(V *out, const V *a, const V *y, const Field *f, Scratch *s) {
    const int L = f->limbs;
    const V *b = y;
    V *T = s->wide, *low = s->low;
    for (int i = 0; i < 2 * L; i++) T[i] = SPREAD(0);
    for (int i = 0; i < L; i += 4) {
        MAC4(T + i, a[i], a[i + 1], a[i + 2], a[i + 3], LIMB_OF_B, L);
        NAME(reduce_rows)(T, i, f, s->quotient + i);
    }
    NAME(carry)(low, T, L);
    for (int i = 0; i < 2 * L; i++) T[i] = SPREAD(0);
    NAME(take_quotient)(T, f, s->quotient);
    for (int i = 0; i < L; i += 4) {
        b = y + L;
        MAC4(T + i, a[i], a[i + 1], a[i + 2], a[i + 3], LIMB_OF_B, L);
        b = y;
        MAC4(T + i, a[L + i], a[L + i + 1], a[L + i + 2], a[L + i + 3], LIMB_OF_B, L);
        NAME(reduce_rows)(T, i, f, s->quotient + i);
    }
    NAME(carry)(out + L, T, L);
    for (int i = 0; i < L; i++) out[i] = low[i];
}

FN void NAME(pair_squared)(V *out, const V *a, const Field *f, Scratch *s) {
    const int L = f->limbs;
    const V *b = a + L;
    V *T = s->wide, *low = s->low;
    NAME(square)(T, a, L);
    NAME(reduce)(low, T, f, s->quotient);
    /* 2 x0 x1 - m: x0 doubled first, which its free bits allow. */
    V carried = SPREAD(0), *twice = s->twice;
    for (int i = 0; i < L; i++) {
        const V d = a[i] + a[i] + carried;
        twice[i] = d & SPREAD(MASK);
        carried = d >> 52;
    }
    for (int i = 0; i < 2 * L; i++) T[i] = SPREAD(0);
    NAME(take_quotient)(T, f, s->quotient);
    for (int i = 0; i < L; i += 4) {
        MAC4(T + i, twice[i], twice[i + 1], twice[i + 2], twice[i + 3], LIMB_OF_B, L);
        NAME(reduce_rows)(T, i, f, s->quotient + i);
    }
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
    V *x = a->first, *entry = a->second, *one = a->third;
    for (size_t i = 0; i < count; i += LANES) {
        for (size_t row = 0; row < digits; row++) {
            uint64_t chosen[LANES];
            for (size_t l = 0; l < LANES; l++) chosen[l] = i + l < count ? exponents[(i + l) * digits + row] : 0;
            NAME(pick)(row ? entry : x, table + row * 256 * W, W, chosen, W);
            if (row) NAME(by)(j, x, x, entry, &a->scratch);
        }
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
