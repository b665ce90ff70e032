/* Products with a matrix of -1, 0 and 1, included twice by kernel.c as lanes.h is. A column has `groups` bytes of first bits and as many of second
 * bits; bit k of byte g is row 8 g + k, and an entry is its first bit less its second.
 */

/* out[8 g + k]: for row 8 g + k the sum of the lower halves of x, as unsigned numbers, then the sum of the upper halves, as signed ones.
   table[byte]: all ones in the lanes of the byte's bits. */
FN void NAME(ternary_apply)(V *table, const uint8_t *data, size_t columns, size_t groups, const int64_t *x, V *out) {
    for (int byte = 0; byte < 256; byte++)
        for (int l = 0; l < LANES; l++) table[byte][l] = 0 - (uint64_t)(byte >> l & 1);
    for (size_t i = 0; i < 2 * groups; i++) out[i] = SPREAD(0);
    for (size_t start = 0; start < columns; start += TERNARY_BLOCK) {
        const size_t end = start + TERNARY_BLOCK < columns ? start + TERNARY_BLOCK : columns;
        for (size_t g = 0; g < groups; g++) {
            V low = out[2 * g], high = out[2 * g + 1];
            for (size_t c = start; c < end; c++) {
                const V plus = table[data[2 * c * groups + g]], minus = table[data[(2 * c + 1) * groups + g]];
                const V l = SPREAD(x[c] & 0xffffffff), h = SPREAD(x[c] >> 32);
                low += (l & plus) - (l & minus);
                high += (h & plus) - (h & minus);
            }
            out[2 * g] = low;
            out[2 * g + 1] = high;
        }
    }
}

/* sums[c] = the sum of rows times their scalars, for up to TERNARY_BLOCK columns: limbs of `parts` vectors, signed and not carried.
   tables[g][byte]: the sum of the scalars of the byte's bits (the method of four Russians: Arlazarov, Dinic, Kronrod and Faradzhev 1970). */
FN inline __attribute__((always_inline)) void NAME(ternary_sums)(
    V *sums, const V *tables, const uint8_t *data, size_t columns, size_t groups, size_t parts) {
    for (size_t i = 0; i < columns * parts; i++) sums[i] = SPREAD(0);
    for (size_t g = 0; g < groups; g++, tables += 256 * parts)
        for (size_t c = 0; c < columns; c++)
            for (size_t i = 0; i < parts; i++)
                sums[c * parts + i] += tables[data[2 * c * groups + g] * parts + i] - tables[data[(2 * c + 1) * groups + g] * parts + i];
}

FN void NAME(ternary_transpose)(const Combination *j, V *room, const uint8_t *data, size_t columns, uint64_t *out) {
    V *tables = room, *sums = tables + j->groups * 256 * j->parts;
    for (size_t g = 0; g < j->groups; g++)
        for (size_t byte = 0; byte < 256; byte++)
            for (size_t i = 0; i < j->parts; i++) {
                V *entry = tables + (g * 256 + byte) * j->parts + i;
                V scalar = SPREAD(0);
                if (byte) memcpy(&scalar, j->scalars + ((g * 8 + (size_t)__builtin_ctzll(byte)) * j->parts + i) * LANES, sizeof(V));
                *entry = byte ? tables[(g * 256 + (byte & (byte - 1))) * j->parts + i] + scalar : scalar;
            }
    for (size_t start = 0; start < columns; start += TERNARY_BLOCK) {
        const size_t count = columns - start < TERNARY_BLOCK ? columns - start : TERNARY_BLOCK;
        const uint8_t *from = data + 2 * start * j->groups;
        if (j->parts == 1)
            NAME(ternary_sums)(sums, tables, from, count, j->groups, 1);
        else
            NAME(ternary_sums)(sums, tables, from, count, j->groups, 2);
        for (size_t c = 0; c < count; c++) reduce_limbs(j, (const uint64_t *)(sums + c * j->parts), out + (start + c) * j->words);
    }
}

/* For column c of a block the sum over all blocks of the block's weight times the rows' sum: out[2 c] is the sum of the lower halves of its limbs,
   as unsigned numbers, out[2 c + 1] that of the upper halves, as signed ones. */
FN void NAME(ternary_weighted)(const Weighted *j, V *room, const uint8_t *data, size_t blocks, size_t width, size_t groups, V *out) {
    V *table = room, *limbs = table + 256, *sums = limbs + 8 * groups;
    for (size_t c = 0; c < 2 * width; c++) out[c] = SPREAD(0);
    for (size_t block = 0; block < blocks; block++, data += 2 * groups * width) {
        weigh(j, (uint64_t *)limbs, 8 * groups, j->weights + block * j->words);
        for (size_t c = 0; c < width; c++) sums[c] = SPREAD(0);
        for (size_t g = 0; g < groups; g++) {
            table[0] = SPREAD(0);
            for (size_t byte = 1; byte < 256; byte++) table[byte] = table[byte & (byte - 1)] + limbs[8 * g + (size_t)__builtin_ctzll(byte)];
            for (size_t c = 0; c < width; c++) sums[c] += table[data[2 * c * groups + g]] - table[data[(2 * c + 1) * groups + g]];
        }
        for (size_t c = 0; c < width; c++) {
            out[2 * c] += sums[c] & SPREAD(UINT32_MAX);
            out[2 * c + 1] += (V)((Signed)sums[c] >> 32);
        }
    }
}
