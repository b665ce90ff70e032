/* defedbio.crypto._kernel: powers and products of large numbers, and hashes, eight at a time, for agents/crypto/kernel.py, which says what each
 * call takes.
 *
 * Numbers are big-endian bytes of one length, as on the wire, exponents little-endian; constants of a modulus come as 64-bit words of one
 * 52-bit limb each. Calls release the interpreter lock. Steps do not depend on exponents, addresses of table entries do: this is not
 * constant time.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 8
#define MASK ((UINT64_C(1) << 52) - 1)
#define MAX_LIMBS 512
#define MAX_WINDOW 6
#define MAX_DIGITS 4096
#define MAX_RADIX 4096

typedef uint64_t V __attribute__((vector_size(64), aligned(64)));
typedef int64_t Signed __attribute__((vector_size(64), aligned(64)));

typedef struct {
    int limbs;
    uint64_t k0; /* -1/n mod 2^52 */
    const uint64_t *n;
    const uint64_t *offset; /* see less_quotient */
    const V *k0s; /* k0 of each lane's own modulus, where n is eight words a limb */
} Field;

typedef struct {
    V *wide, *quotient, *spare;
} Scratch;

typedef struct {
    Field field;
    int pairs;
    int width;    /* limbs of an element: of a pair twice those of n */
    size_t bytes; /* of a number */
    const uint64_t *one, *enter; /* in the element's form: R, and what brings a loaded number into Montgomery's form */
} Job;

typedef struct {
    void *memory;
    Scratch scratch;
    V *first, *second, *third, *table;
} Arena;

/* Bits [52 limb, 52 limb + 52) of a number of `size` bytes. */
static uint64_t limb_of(const uint8_t *number, size_t size, int limb) {
    const size_t bit = (size_t)limb * 52, byte = bit / 8;
    uint64_t word = 0;
    if (byte + 8 <= size) {
        memcpy(&word, number + size - byte - 8, 8);
        word = __builtin_bswap64(word);
    } else
        for (size_t k = byte; k < size; k++) word |= (uint64_t)number[size - 1 - k] << 8 * (k - byte);
    return word >> (bit % 8) & MASK;
}

/* Lane l gets the limbs of the number at numbers + l size; lanes beyond `present` get 0. */
static void read_limbs(V *out, int limbs, const uint8_t *numbers, size_t size, size_t present) {
    uint64_t *words = (uint64_t *)out;
    memset(words, 0, sizeof(V) * (size_t)limbs);
    for (size_t l = 0; l < LANES && l < present; l++)
        for (int i = 0; i < limbs; i++) words[(size_t)i * LANES + l] = limb_of(numbers + l * size, size, i);
}

/* -1/n mod 2^52 of an odd n, by Newton's iteration. */
static uint64_t minus_inverse(uint64_t n) {
    uint64_t inverse = 1;
    for (int i = 0; i < 6; i++) inverse *= 2 - n * inverse;
    return (0 - inverse) & MASK;
}

/* Bits [64 k, 64 k + 64) of a number of `size` bytes, where it has them. */
static void write_word(uint8_t *number, size_t size, size_t k, uint64_t word) {
    if (8 * k + 8 <= size) {
        word = __builtin_bswap64(word);
        memcpy(number + size - 8 * k - 8, &word, 8);
    } else
        for (size_t byte = 8 * k; byte < size; byte++, word >>= 8) number[size - 1 - byte] = (uint8_t)word;
}

/* Bits [from, from + bits) of a little-endian number of `length` bits. */
static unsigned window_of(const uint8_t *number, int length, int from, int bits) {
    unsigned value = 0;
    for (int i = 0; i < bits && from + i < length; i++) value |= (unsigned)(number[(from + i) / 8] >> ((from + i) % 8) & 1) << i;
    return value;
}

/* The window with the fewest products: 2^w for the table and one each w bits. */
static int window_for(int exponent_bits) {
    int best = 1;
    for (int w = 2; w <= MAX_WINDOW; w++)
        if ((1 << w) + exponent_bits / w < (1 << best) + exponent_bits / best) best = w;
    return best;
}

/* Words from one entry of a comb's table to the next: whole vectors. */
static size_t stride_of(size_t width) { return (width + LANES - 1) / LANES * LANES; }

#define DIGITS_END UINT32_MAX

/* order[s LANES] for every step s: the bases with the greatest digit and DIGITS_END, those with the next and DIGITS_END, down to those with 0. */
static void order_of(uint32_t *order, const uint16_t *digits, size_t count, size_t radix) {
    uint32_t next[MAX_RADIX] = {0}, at = 0;
    for (size_t b = 0; b < count; b++) next[digits[b]]++;
    for (size_t d = radix; d-- > 0;) {
        const uint32_t held = next[d];
        next[d] = at;
        at += held;
        if (d) order[at++ * LANES] = DIGITS_END;
    }
    for (size_t b = 0; b < count; b++) order[next[digits[b]]++ * LANES] = (uint32_t)b;
}

#define KECCAK_RATE 136
static const uint64_t KECCAK_ROUNDS[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000, 0x000000000000808B, 0x0000000080000001,
    0x8000000080008081, 0x8000000000008009, 0x000000000000008A, 0x0000000000000088, 0x0000000080008009, 0x000000008000000A,
    0x000000008000808B, 0x800000000000008B, 0x8000000000008089, 0x8000000000008003, 0x8000000000008002, 0x8000000000000080,
    0x000000000000800A, 0x800000008000000A, 0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};
static const int KECCAK_TURNS[25] = {0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14};

/* A combination of rows of -1, 0 and 1: see ternary.h. */
typedef struct {
    size_t groups, parts, words; /* bytes of a column's first bits; vectors of a sum's limbs; words of the modulus */
    int bits;                    /* of a limb, so few that sums of all rows stay below 2^63 */
    const uint64_t *scalars;     /* limbs of each row's */
    const uint64_t *offset;      /* a multiple of the modulus above all sums' size, a word longer than it */
    const uint64_t *modulus;
} Combination;

#define MAX_WORDS 8
#define TERNARY_BLOCK 256 /* columns whose sums stay in the cache beside a table */

static double size_of(const uint64_t *x, size_t words) {
    double size = 0;
    while (words-- > 0) size = size * 0x1p64 + (double)x[words];
    return size;
}

/* out = the number of these limbs, which are not carried, mod the modulus. */
static void reduce_limbs(const Combination *j, const uint64_t *limbs, uint64_t *out) {
    const size_t words = j->words;
    uint64_t x[2 * LANES + 2] = {0};
    __int128 carried = 0;
    int held = 0; /* bits of `carried` that are no full word yet */
    for (size_t i = 0, at = 0; at <= words; i++) {
        if (i < j->parts * LANES) carried += (__int128)(int64_t)limbs[i] * ((__int128)1 << held);
        for (held += j->bits; held >= 64 && at <= words; held -= 64) {
            carried += j->offset[at];
            x[at++] = (uint64_t)carried;
            carried >>= 64;
        }
    }
    /* The quotient may come out too large by one, so one less is taken first. */
    const uint64_t quotient = (uint64_t)(size_of(x, words + 1) / size_of(j->modulus, words));
    for (uint64_t q = quotient ? quotient - 1 : 0, again = 1; again; q = 1) {
        unsigned __int128 take = 0;
        for (size_t i = 0; i <= words; i++) {
            take += i < words ? (unsigned __int128)q * j->modulus[i] : 0;
            const uint64_t less = (uint64_t)take;
            take = (take >> 64) + (x[i] < less);
            x[i] -= less;
        }
        size_t i = words - 1;
        while (i > 0 && x[i] == j->modulus[i]) i--;
        again = x[words] || x[i] >= j->modulus[i];
    }
    memcpy(out, x, words * 8);
}

/* Rows' scalars times a block's weight, as ternary.h takes them. */
typedef struct {
    size_t words;             /* of the modulus, which is odd */
    int octets;               /* of a limb; eight hold the modulus */
    const uint64_t *scalars;  /* below the modulus, a row's after the other */
    const uint64_t *weights;  /* times 2^(64 words) modulo the modulus, a block's after the other */
    const uint64_t *modulus;
    uint64_t k0;              /* -1/modulus mod 2^64 */
} Weighted;

/* out = a b / 2^(64 words) mod the modulus, below it (Montgomery 1985, a word of b at a time). */
static void times_words(const Weighted *j, uint64_t *out, const uint64_t *a, const uint64_t *b) {
    const size_t words = j->words;
    uint64_t t[MAX_WORDS + 2] = {0}, less[MAX_WORDS];
    for (size_t i = 0; i < words; i++) {
        unsigned __int128 sum = 0;
        for (size_t k = 0; k < words; k++) {
            sum += (unsigned __int128)a[k] * b[i] + t[k];
            t[k] = (uint64_t)sum;
            sum >>= 64;
        }
        sum += t[words];
        t[words] = (uint64_t)sum;
        t[words + 1] = (uint64_t)(sum >> 64);
        const uint64_t quotient = t[0] * j->k0;
        sum = ((unsigned __int128)quotient * j->modulus[0] + t[0]) >> 64;
        for (size_t k = 1; k < words; k++) {
            sum += (unsigned __int128)quotient * j->modulus[k] + t[k];
            t[k - 1] = (uint64_t)sum;
            sum >>= 64;
        }
        sum += t[words];
        t[words - 1] = (uint64_t)sum;
        t[words] = t[words + 1] + (uint64_t)(sum >> 64);
    }
    uint64_t borrow = 0;
    for (size_t k = 0; k < words; k++) {
        const unsigned __int128 d = (unsigned __int128)t[k] - j->modulus[k] - borrow;
        less[k] = (uint64_t)d;
        borrow = (uint64_t)(d >> 64) & 1;
    }
    memcpy(out, t[words] || !borrow ? less : t, words * 8);
}

/* limbs[row LANES + i]: of every row's scalar times the weight. */
static void weigh(const Weighted *j, uint64_t *limbs, size_t rows, const uint64_t *weight) {
    const size_t octets = (size_t)j->octets;
    for (size_t row = 0; row < rows; row++) {
        uint64_t product[MAX_WORDS + 1] = {0};
        times_words(j, product, j->scalars + row * j->words, weight);
        for (size_t i = 0; i < LANES; i++) {
            uint64_t limb = 0;
            memcpy(&limb, (const uint8_t *)product + i * octets, 8);
            limbs[row * LANES + i] = limb & ((UINT64_C(1) << 8 * octets) - 1);
        }
    }
}

#define FN static __attribute__((unused))
#define NAME(f) f##_portable
#define SPREAD(x) ((V){0} + (uint64_t)(x))
/* Not inlined: the compiler would take minutes over what only tests run. */
static __attribute__((noinline)) V low_portable(V t, V a, V b) {
    for (int l = 0; l < LANES; l++) t[l] += (uint64_t)((unsigned __int128)(a[l] & MASK) * (b[l] & MASK)) & MASK;
    return t;
}
static __attribute__((noinline)) V high_portable(V t, V a, V b) {
    for (int l = 0; l < LANES; l++) t[l] += (uint64_t)((unsigned __int128)(a[l] & MASK) * (b[l] & MASK) >> 52);
    return t;
}
static inline V mix_portable(V a, V at, V b) {
    V out;
    for (int l = 0; l < LANES; l++) out[l] = at[l] < LANES ? a[at[l]] : b[at[l] - LANES];
    return out;
}
#define LOW low_portable
#define HIGH high_portable
#define MIX mix_portable
#define LIMB(f, i) SPREAD((f)->n[i])
#define K0(f) SPREAD((f)->k0)
#include "keccak.h"
#include "lanes.h"
#include "ternary.h"
#undef NAME
#undef LIMB
#undef K0
#define NAME(f) f##_own_portable
#define LIMB(f, i) (((const V *)(f)->n)[i])
#define K0(f) (*(f)->k0s)
#include "lanes.h"
#undef FN
#undef NAME
#undef LIMB
#undef K0
#undef SPREAD
#undef LOW
#undef HIGH
#undef MIX

#if defined(__x86_64__)
#include <immintrin.h>
static int fast(void) { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512ifma"); }
#define FN static __attribute__((target("avx512f,avx512ifma"), unused))
#define NAME(f) f##_ifma
#define SPREAD(x) ((V)_mm512_set1_epi64((long long)(x)))
#define LOW(t, a, b) ((V)_mm512_madd52lo_epu64((__m512i)(t), (__m512i)(a), (__m512i)(b)))
#define HIGH(t, a, b) ((V)_mm512_madd52hi_epu64((__m512i)(t), (__m512i)(a), (__m512i)(b)))
#define MIX(a, at, b) ((V)_mm512_permutex2var_epi64((__m512i)(a), (__m512i)(at), (__m512i)(b)))
#define LIMB(f, i) SPREAD((f)->n[i])
#define K0(f) SPREAD((f)->k0)
#include "keccak.h"
#include "lanes.h"
#include "ternary.h"
#undef NAME
#undef LIMB
#undef K0
#define NAME(f) f##_own_ifma
#define LIMB(f, i) (((const V *)(f)->n)[i])
#define K0(f) (*(f)->k0s)
#include "lanes.h"
#define RUN(f, ...)                        \
    do {                                   \
        if (portable || !fast())           \
            f##_portable(__VA_ARGS__);     \
        else                               \
            f##_ifma(__VA_ARGS__);         \
    } while (0)
#else
#define RUN(f, ...) f##_portable(__VA_ARGS__)
static int fast(void) { return 0; }
#endif

#include "squares.h"

/* -- the door to Python: every length is checked before anything is read ------------------------------------------------------------ */

typedef struct {
    Py_buffer n, offset, one, enter, first, second; /* the modulus's constants, and what the call works on */
    Py_ssize_t half;                                /* bytes of a number modulo n */
    int pairs, portable;
    Job job;
    Arena arena;
    PyObject *out;
} Call;

/* A modulus as kernel.py makes it. */
#define MODULUS "(y*y*y*y*np)"
#define MODULUS_OF(c) &(c).n, &(c).offset, &(c).one, &(c).enter, &(c).half, &(c).pairs

static int refuse(const char *why) {
    PyErr_SetString(PyExc_ValueError, why);
    return 0;
}

static int read_job(Call *c) {
    const Py_ssize_t limbs = c->n.len / 8, width = c->pairs ? 2 * limbs : limbs;
    if (c->n.len % 8 || limbs % 4 || limbs < 8 || limbs > MAX_LIMBS || c->offset.len != c->n.len || c->one.len != width * 8 ||
        c->enter.len != width * 8 || c->half < 1 || c->half * 8 > limbs * 52)
        return refuse("the modulus's constants do not fit each other");
    const uint64_t *n = c->n.buf;
    c->job = (Job){.field = {(int)limbs, minus_inverse(n[0]), n, c->offset.buf, 0},
                   .pairs = c->pairs,
                   .width = (int)width,
                   .bytes = (size_t)(c->pairs ? 2 * c->half : c->half),
                   .one = c->one.buf,
                   .enter = c->enter.buf};
    return 1;
}

/* Room for a result of `size` bytes and for the work, with a table of `entries` elements. */
static int make_room(Call *c, Py_ssize_t size, size_t entries) {
    const size_t L = (size_t)c->job.field.limbs, W = stride_of((size_t)c->job.width), wide = 2 * L + 8;
    Arena *a = &c->arena;
    if (!(c->out = PyBytes_FromStringAndSize(NULL, size))) return 0;
    if (posix_memalign(&a->memory, 64, (wide + 2 * L + 3 * W + entries * W) * sizeof(V))) {
        Py_CLEAR(c->out);
        PyErr_NoMemory();
        return 0;
    }
    V *next = a->memory;
    a->scratch = (Scratch){next, next + wide, next + wide + L};
    next += wide + 2 * L;
    a->first = next;
    a->second = next + W;
    a->third = next + 2 * W;
    a->table = next + 3 * W;
    return 1;
}

static PyObject *finish(Call *c) {
    Py_buffer *buffers[] = {&c->n, &c->offset, &c->one, &c->enter, &c->first, &c->second};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) PyBuffer_Release(buffers[i]);
    free(c->arena.memory);
    return c->out;
}

#define CALCULATE(f, ...)                               \
    do {                                                \
        void *out = PyBytes_AS_STRING(c.out);           \
        const int portable = c.portable;                \
        Py_BEGIN_ALLOW_THREADS;                         \
        RUN(f, &c.job, &c.arena, __VA_ARGS__, out);     \
        Py_END_ALLOW_THREADS;                           \
    } while (0)

static PyObject *py_powers(PyObject *self, PyObject *args) {
    Call c = {0};
    if (!PyArg_ParseTuple(args, MODULUS "y*y*p", MODULUS_OF(c), &c.first, &c.second, &c.portable)) return NULL;
    if (read_job(&c) &&
        ((c.first.len % (Py_ssize_t)c.job.bytes == 0 && c.second.len && c.second.len <= INT32_MAX / 8) ||
         refuse("bases or exponent of the wrong length")) &&
        make_room(&c, c.first.len, (size_t)1 << MAX_WINDOW))
        CALCULATE(powers, c.first.buf, (size_t)c.first.len / c.job.bytes, c.second.buf, (int)c.second.len * 8);
    return finish(&c);
}

static PyObject *py_comb_table(PyObject *self, PyObject *args) {
    Call c = {0};
    Py_ssize_t digits;
    if (!PyArg_ParseTuple(args, MODULUS "y*np", MODULUS_OF(c), &c.first, &digits, &c.portable)) return NULL;
    if (read_job(&c) &&
        ((c.first.len == (Py_ssize_t)c.job.bytes && digits >= 1 && digits <= MAX_DIGITS) ||
         refuse("a base of the wrong length, or too many digits")) &&
        make_room(&c, digits * 256 * (Py_ssize_t)stride_of(c.job.width) * 8, 0))
        CALCULATE(comb_table, c.first.buf, (size_t)digits);
    return finish(&c);
}

static PyObject *py_comb_powers(PyObject *self, PyObject *args) {
    Call c = {0};
    Py_ssize_t digits;
    if (!PyArg_ParseTuple(args, MODULUS "y*ny*p", MODULUS_OF(c), &c.first, &digits, &c.second, &c.portable)) return NULL;
    if (read_job(&c) &&
        ((digits >= 1 && digits <= MAX_DIGITS && c.first.len == digits * 256 * (Py_ssize_t)stride_of(c.job.width) * 8 &&
          c.second.len % digits == 0) ||
         refuse("table or exponents of the wrong length"))) {
        const Py_ssize_t count = c.second.len / digits;
        if (make_room(&c, count * (Py_ssize_t)c.job.bytes, ((size_t)count + LANES - 1) / LANES))
            CALCULATE(comb_powers, c.first.buf, (size_t)digits, c.second.buf, (size_t)count);
    }
    return finish(&c);
}

static PyObject *py_products(PyObject *self, PyObject *args) {
    Call c = {0};
    Py_ssize_t depth;
    int prefixes;
    if (!PyArg_ParseTuple(args, MODULUS "y*y*npp", MODULUS_OF(c), &c.first, &c.second, &depth, &prefixes, &c.portable)) return NULL;
    if (read_job(&c)) {
        const Py_ssize_t bytes = (Py_ssize_t)c.job.bytes, count = c.first.len / bytes;
        if ((depth >= 1 && depth <= count && c.first.len % (depth * bytes) == 0 && c.second.len == (prefixes ? depth : 1) * c.job.width * 8) ||
            refuse("numbers or their fixes of the wrong length"))
            if (make_room(&c, prefixes ? c.first.len : c.first.len / depth, 0))
                CALCULATE(products, c.first.buf, (size_t)(count / depth), (size_t)depth, prefixes, c.second.buf);
    }
    return finish(&c);
}

/* Whether all digits are below the radix. */
static int all_below(const uint16_t *digits, Py_ssize_t count, Py_ssize_t radix) {
    uint16_t most = 0;
    for (Py_ssize_t i = 0; i < count; i++) most = digits[i] > most ? digits[i] : most;
    return most < radix && radix >= 2 && radix <= MAX_RADIX;
}

static PyObject *py_multi_powers(PyObject *self, PyObject *args) {
    Call c = {0};
    Py_ssize_t rows, radix;
    int whole;
    if (!PyArg_ParseTuple(args, MODULUS "y*y*nnpp", MODULUS_OF(c), &c.first, &c.second, &rows, &radix, &whole, &c.portable)) return NULL;
    if (read_job(&c)) {
        const Py_ssize_t bytes = (Py_ssize_t)c.job.bytes, count = c.first.len / bytes, given = c.second.len / 2;
        if ((count >= 1 && c.first.len % bytes == 0 && rows >= 1 && given / count / rows >= 1 && c.second.len % 2 == 0 && given % count == 0 &&
             given / count % rows == 0 && all_below(c.second.buf, given, radix)) ||
            refuse("bases or digits of the wrong length, or digits too large")) {
            const size_t all = (size_t)(given / count), groups = (all + LANES - 1) / LANES, steps = (size_t)(count + radix);
            /* Products, then a table and totals, or a number, the bases, and 32 of an element's 512 bytes or more for every step. */
            const size_t tables = (size_t)radix + groups, ordered = 1 + (size_t)count / LANES + 1 + steps / 16 + 1;
            if (make_room(&c, (whole ? rows + 1 : rows) * bytes, groups + 1 + (tables > ordered ? tables : ordered)))
                CALCULATE(multi_powers, c.first.buf, (size_t)count, c.second.buf, (size_t)rows, all / (size_t)rows, (size_t)radix, whole);
        }
    }
    return finish(&c);
}

static PyObject *py_column_powers(PyObject *self, PyObject *args) {
    Call c = {0};
    Py_ssize_t depth, length;
    if (!PyArg_ParseTuple(args, MODULUS "y*y*nnp", MODULUS_OF(c), &c.first, &c.second, &depth, &length, &c.portable)) return NULL;
    if (read_job(&c)) {
        const Py_ssize_t bytes = (Py_ssize_t)c.job.bytes, count = c.first.len / bytes;
        if ((depth >= 1 && depth <= count && c.first.len % (depth * bytes) == 0 && length >= 1 && length <= INT32_MAX / 8 &&
             c.second.len % length == 0 && c.second.len / length == count) ||
            refuse("bases or exponents of the wrong length"))
            if (make_room(&c, c.first.len / depth, (size_t)depth << window_for((int)length * 8)))
                CALCULATE(column_powers, c.first.buf, (size_t)(count / depth), (size_t)depth, c.second.buf, (size_t)length);
    }
    return finish(&c);
}

static PyObject *py_own_powers(PyObject *self, PyObject *args) {
    Call c = {0};
    Py_ssize_t limbs, bytes, length;
    if (!PyArg_ParseTuple(args, "nny*y*y*y*y*np", &limbs, &bytes, &c.n, &c.first, &c.one, &c.enter, &c.second, &length, &c.portable)) return NULL;
    const Py_ssize_t count = bytes >= 1 ? c.n.len / bytes : 0;
    if ((limbs >= 8 && limbs % 4 == 0 && limbs <= MAX_LIMBS && bytes >= 1 && bytes * 8 <= limbs * 52 && count >= 1 && c.n.len == count * bytes &&
         c.first.len == c.n.len && c.one.len == c.n.len && c.enter.len == c.n.len && length >= 1 && length <= INT32_MAX / 8 &&
         c.second.len % length == 0 && c.second.len / length == count) ||
        refuse("moduli, bases or exponents of the wrong length")) {
        c.job = (Job){.field = {.limbs = (int)limbs}, .width = (int)limbs, .bytes = (size_t)bytes};
        if (make_room(&c, c.n.len, 3 + ((size_t)1 << window_for((int)length * 8))))
            CALCULATE(own_powers_own, c.n.buf, c.first.buf, c.one.buf, c.enter.buf, (size_t)count, c.second.buf, (size_t)length);
    }
    return finish(&c);
}

static PyObject *py_keccak(PyObject *self, PyObject *args) {
    PyObject *result = NULL;
    Py_buffer messages;
    Py_ssize_t size, length;
    int end, portable;
    if (!PyArg_ParseTuple(args, "y*ninp", &messages, &size, &end, &length, &portable)) return NULL;
    if ((size >= 1 && messages.len % size == 0 && length >= 1 && messages.len / size <= PY_SSIZE_T_MAX / length && end >= 1 && end <= 127) ||
        refuse("messages of the wrong length"))
        if ((result = PyBytes_FromStringAndSize(NULL, messages.len / size * length))) {
            uint8_t *out = (uint8_t *)PyBytes_AS_STRING(result);
            Py_BEGIN_ALLOW_THREADS;
            RUN(keccak, messages.buf, (size_t)(messages.len / size), (size_t)size, (uint64_t)end, out, (size_t)length);
            Py_END_ALLOW_THREADS;
        }
    PyBuffer_Release(&messages);
    return result;
}

static PyObject *py_ternary_apply(PyObject *self, PyObject *args) {
    PyObject *result = NULL;
    Py_buffer data, x;
    Py_ssize_t groups;
    int portable;
    void *room = NULL;
    if (!PyArg_ParseTuple(args, "y*ny*p", &data, &groups, &x, &portable)) return NULL;
    if ((groups >= 1 && x.len % 8 == 0 && data.len % 2 == 0 && data.len / 2 / groups == x.len / 8 && data.len / 2 % groups == 0) ||
        refuse("matrix or vector of the wrong length")) {
        const size_t size = 2 * (size_t)groups * sizeof(V);
        if (posix_memalign(&room, 64, 256 * sizeof(V) + size))
            PyErr_NoMemory();
        else {
            V *out = (V *)room + 256;
            Py_BEGIN_ALLOW_THREADS;
            RUN(ternary_apply, room, data.buf, (size_t)(x.len / 8), (size_t)groups, x.buf, out);
            Py_END_ALLOW_THREADS;
            result = PyBytes_FromStringAndSize((const char *)out, (Py_ssize_t)size);
            free(room);
        }
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&x);
    return result;
}

static PyObject *py_ternary_transpose(PyObject *self, PyObject *args) {
    PyObject *result = NULL;
    Py_buffer data, scalars, offset, modulus;
    Py_ssize_t groups, parts;
    int bits, portable;
    void *room = NULL;
    if (!PyArg_ParseTuple(args, "y*ny*niy*y*p", &data, &groups, &scalars, &parts, &bits, &offset, &modulus, &portable)) return NULL;
    const Py_ssize_t words = modulus.len / 8;
    const Combination j = {(size_t)groups, (size_t)parts, (size_t)words, bits, scalars.buf, offset.buf, modulus.buf};
    if ((groups >= 1 && data.len % 2 == 0 && data.len / 2 % groups == 0 && (parts == 1 || parts == 2) &&
         scalars.len / (parts * (Py_ssize_t)sizeof(V)) / 8 == groups && scalars.len % (parts * 8 * (Py_ssize_t)sizeof(V)) == 0 && bits >= 32 &&
         bits <= 60 && modulus.len % 8 == 0 && words >= 1 && words <= MAX_WORDS && offset.len == modulus.len + 8 && j.modulus[words - 1]) ||
        refuse("matrix, scalars or modulus of the wrong length")) {
        const Py_ssize_t columns = data.len / 2 / groups;
        if ((result = PyBytes_FromStringAndSize(NULL, columns * words * 8))) {
            if (posix_memalign(&room, 64, (size_t)(groups * 256 + TERNARY_BLOCK) * (size_t)parts * sizeof(V))) {
                Py_CLEAR(result);
                PyErr_NoMemory();
            } else {
                uint64_t *out = (uint64_t *)PyBytes_AS_STRING(result);
                Py_BEGIN_ALLOW_THREADS;
                RUN(ternary_transpose, &j, room, data.buf, (size_t)columns, out);
                Py_END_ALLOW_THREADS;
                free(room);
            }
        }
    }
    Py_buffer *buffers[] = {&data, &scalars, &offset, &modulus};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) PyBuffer_Release(buffers[i]);
    return result;
}

static PyObject *py_ternary_weighted(PyObject *self, PyObject *args) {
    PyObject *result = NULL;
    Py_buffer data, scalars, weights, modulus;
    Py_ssize_t groups, width;
    int octets, portable;
    void *room = NULL;
    if (!PyArg_ParseTuple(args, "y*nny*y*y*ip", &data, &groups, &width, &scalars, &weights, &modulus, &octets, &portable)) return NULL;
    const Py_ssize_t words = modulus.len / 8, blocks = words ? weights.len / 8 / words : 0;
    Weighted j = {(size_t)words, octets, scalars.buf, weights.buf, modulus.buf, 0};
    if ((modulus.len % 8 == 0 && words >= 1 && words <= MAX_WORDS && octets >= 5 && octets <= 7 && words <= octets && (j.modulus[0] & 1) &&
         groups >= 1 && scalars.len % (64 * words) == 0 && scalars.len / (64 * words) == groups && blocks >= 1 && weights.len % (8 * words) == 0 &&
         width >= 1 && data.len % 2 == 0 && data.len / 2 / groups / blocks == width && data.len / 2 % groups == 0 && data.len / 2 / groups % blocks == 0) ||
        refuse("matrix, scalars, weights or modulus of the wrong length")) {
        uint64_t inverse = 1;
        for (int i = 0; i < 6; i++) inverse *= 2 - j.modulus[0] * inverse;
        j.k0 = 0 - inverse;
        const size_t size = 2 * (size_t)width * sizeof(V);
        if (posix_memalign(&room, 64, (256 + 8 * (size_t)groups + (size_t)width) * sizeof(V) + size))
            PyErr_NoMemory();
        else {
            V *out = (V *)room + 256 + 8 * groups + width;
            Py_BEGIN_ALLOW_THREADS;
            RUN(ternary_weighted, &j, room, data.buf, (size_t)blocks, (size_t)width, (size_t)groups, out);
            Py_END_ALLOW_THREADS;
            result = PyBytes_FromStringAndSize((const char *)out, (Py_ssize_t)size);
            free(room);
        }
    }
    Py_buffer *buffers[] = {&data, &scalars, &weights, &modulus};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) PyBuffer_Release(buffers[i]);
    return result;
}

static PyObject *py_three_squares(PyObject *self, PyObject *args) {
    PyObject *result = NULL;
    Py_buffer numbers, seed;
    if (!PyArg_ParseTuple(args, "y*y*", &numbers, &seed)) return NULL;
    if ((numbers.len % 16 == 0 && seed.len == 32) || refuse("numbers or seed of the wrong length"))
        if ((result = PyBytes_FromStringAndSize(NULL, numbers.len / 16 * 24))) {
            uint64_t *out = (uint64_t *)PyBytes_AS_STRING(result), state[4];
            int found;
            memcpy(state, seed.buf, sizeof(state));
            state[0] |= 1; /* all zeros would stay so */
            Py_BEGIN_ALLOW_THREADS;
            found = three_squares(numbers.buf, (size_t)numbers.len / 16, state, out);
            Py_END_ALLOW_THREADS;
            if (!found) {
                Py_CLEAR(result);
                refuse("a number that is no sum of three squares");
            }
        }
    PyBuffer_Release(&numbers);
    PyBuffer_Release(&seed);
    return result;
}

static PyObject *py_fast(PyObject *self, PyObject *unused) { return PyBool_FromLong(fast()); }

static PyMethodDef methods[] = {
    {"fast", py_fast, METH_NOARGS, "Whether this processor has the instructions; every call can also run without (portable=True)."},
    {"keccak", py_keccak, METH_VARARGS, "(messages, size, what ends one, bytes for each, portable) -> bytes"},
    {"powers", py_powers, METH_VARARGS, "(modulus, bases, exponent, portable) -> bytes"},
    {"comb_table", py_comb_table, METH_VARARGS, "(modulus, base, digits, portable) -> bytes"},
    {"comb_powers", py_comb_powers, METH_VARARGS, "(modulus, table, digits, exponents, portable) -> bytes"},
    {"products", py_products, METH_VARARGS, "(modulus, numbers, fixes, depth, prefixes, portable) -> bytes"},
    {"multi_powers", py_multi_powers, METH_VARARGS, "(modulus, bases, digits, rows, radix, whole, portable) -> a number for each row"},
    {"column_powers", py_column_powers, METH_VARARGS, "(modulus, rows of bases, rows of exponents, rows, bytes of an exponent, portable) -> bytes"},
    {"own_powers", py_own_powers, METH_VARARGS, "(limbs, bytes, moduli, bases, R, R², exponents, bytes of an exponent, portable) -> bytes"},
    {"three_squares", py_three_squares, METH_VARARGS, "(numbers, seed) -> three words for each, with any processor"},
    {"ternary_apply", py_ternary_apply, METH_VARARGS, "(matrix, bytes of a column's bits, words, portable) -> sums of each row's half words"},
    {"ternary_transpose", py_ternary_transpose, METH_VARARGS,
     "(matrix, bytes of a column's bits, scalars' limbs, vectors of a scalar, bits of a limb, offset, modulus, portable) -> a number for each column"},
    {"ternary_weighted", py_ternary_weighted, METH_VARARGS,
     "(matrix, bytes of a column's bits, columns of a block, scalars, weights, modulus, bytes of a limb, portable) -> sums of limbs' half words"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", "Large numbers, eight at a time.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModule_Create(&module); }
