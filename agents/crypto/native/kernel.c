/* agents.crypto._kernel: powers and products of large numbers, eight at a time, for agents/crypto/kernel.py, which says what each call takes.
 *
 * Numbers are little-endian bytes of one length; constants of a modulus come as 64-bit words of one 52-bit limb each. Calls release the
 * interpreter lock. Steps do not depend on exponents, addresses of table entries do: this is not constant time.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 8
#define MASK ((UINT64_C(1) << 52) - 1)
#define MAX_LIMBS 512
#define STRAUS_BITS 4
#define MAX_WINDOW 6

typedef uint64_t V __attribute__((vector_size(64), aligned(64)));

typedef struct {
    int limbs;
    uint64_t k0; /* -1/n mod 2^52 */
    const uint64_t *n;
    const uint64_t *offset; /* limbs + 1 words, see take_quotient */
} Field;

typedef struct {
    V *wide, *quotient, *low, *twice;
} Scratch;

typedef struct {
    Field field;
    int pairs;
    int width;    /* limbs of an element: of a pair twice those of n */
    size_t half;  /* bytes of a number modulo n */
    size_t bytes; /* bytes of an element */
    const uint64_t *one, *r2; /* R and R² in the element's form */
} Job;

typedef struct {
    void *memory;
    Scratch scratch;
    V *first, *second, *third, *table;
    uint64_t *limbs;
} Arena;

static uint64_t limb_of(const uint8_t *number, size_t size, int limb) {
    const size_t bit = (size_t)limb * 52, byte = bit / 8;
    if (byte >= size) return 0;
    uint64_t word = 0;
    const size_t there = size - byte;
    memcpy(&word, number + byte, there < 8 ? there : 8);
    return word >> (bit % 8) & MASK;
}

/* Lane l gets the element at numbers + l stride; lanes beyond `present` get 0. */
static void load(const Job *j, V *out, const uint8_t *numbers, size_t stride, size_t present) {
    uint64_t *words = (uint64_t *)out;
    const int L = j->field.limbs;
    memset(words, 0, sizeof(V) * (size_t)j->width);
    for (size_t l = 0; l < LANES && l < present; l++)
        for (int i = 0; i < j->width; i++)
            words[(size_t)i * LANES + l] = limb_of(numbers + l * stride + (i < L ? 0 : j->half), j->half, i < L ? i : i - L);
}

static int not_below(const uint64_t *x, const uint64_t *n, int L) {
    for (int i = L - 1; i >= 0; i--)
        if (x[i] != n[i]) return x[i] > n[i];
    return 1;
}

/* Subtract n once or twice where x is not below it; how often. */
static uint64_t settle(uint64_t *x, const uint64_t *n, int L) {
    uint64_t times = 0;
    while (not_below(x, n, L)) {
        uint64_t borrow = 0;
        for (int i = 0; i < L; i++) {
            const uint64_t d = x[i] - n[i] - borrow;
            x[i] = d & MASK;
            borrow = d >> 63;
        }
        times++;
    }
    return times;
}

static void pack(uint8_t *out, size_t size, const uint64_t *limbs, int L) {
    unsigned __int128 held = 0;
    int bits = 0;
    size_t at = 0;
    for (int i = 0; i < L && at < size; i++) {
        held |= (unsigned __int128)limbs[i] << bits;
        bits += 52;
        while (bits >= 8 && at < size) {
            out[at++] = (uint8_t)held;
            held >>= 8;
            bits -= 8;
        }
    }
    while (at < size) {
        out[at++] = (uint8_t)held;
        held >>= 8;
    }
}

/* The lanes' elements, reduced to the end, at out + l stride. */
static void store(const Job *j, uint64_t *limbs, const V *x, uint8_t *out, size_t stride, size_t present) {
    const int L = j->field.limbs;
    const uint64_t *words = (const uint64_t *)x, *n = j->field.n;
    for (size_t l = 0; l < LANES && l < present; l++) {
        for (int i = 0; i < j->width; i++) limbs[i] = words[(size_t)i * LANES + l];
        uint64_t carried = settle(limbs, n, L);
        if (j->pairs) {
            for (int i = L; i < 2 * L && carried; i++) {
                limbs[i] += carried;
                carried = limbs[i] >> 52;
                limbs[i] &= MASK;
            }
            settle(limbs + L, n, L);
            pack(out + l * stride + j->half, j->half, limbs + L, L);
        }
        pack(out + l * stride, j->half, limbs, L);
    }
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
static inline V gather_portable(const uint64_t *base, V at) {
    V out;
    for (int l = 0; l < LANES; l++) out[l] = base[at[l]];
    return out;
}
#define LOW low_portable
#define HIGH high_portable
#define GATHER gather_portable
#include "lanes.h"
#undef FN
#undef NAME
#undef SPREAD
#undef LOW
#undef HIGH
#undef GATHER
#undef FULL4
#undef TRIANGLE
#undef HEAD4
#undef TAIL4
#undef COLUMNS
#undef KEEP
#undef LIMBS_OF_N

#if defined(__x86_64__)
#include <immintrin.h>
static int fast(void) { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512ifma"); }
#define FN static __attribute__((target("avx512f,avx512ifma"), unused))
#define NAME(f) f##_ifma
#define SPREAD(x) ((V)_mm512_set1_epi64((long long)(x)))
#define LOW(t, a, b) ((V)_mm512_madd52lo_epu64((__m512i)(t), (__m512i)(a), (__m512i)(b)))
#define HIGH(t, a, b) ((V)_mm512_madd52hi_epu64((__m512i)(t), (__m512i)(a), (__m512i)(b)))
#define GATHER(base, at) ((V)_mm512_i64gather_epi64((__m512i)(at), (const void *)(base), 8))
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

/* -- the door to Python: every length is checked before anything is read ------------------------------------------------------------ */

typedef struct {
    Py_buffer n, offset, one, r2;
} Held;

static void release(Held *h) {
    PyBuffer_Release(&h->n);
    PyBuffer_Release(&h->offset);
    PyBuffer_Release(&h->one);
    PyBuffer_Release(&h->r2);
}

static int refuse(const char *why) {
    PyErr_SetString(PyExc_ValueError, why);
    return 0;
}

/* (n, offset, one, r2, bytes of a number, pairs) as kernel.py makes it. */
static int read_job(PyObject *tuple, Job *j, Held *h) {
    Py_ssize_t half;
    int pairs;
    if (!PyTuple_Check(tuple)) return refuse("a modulus is a tuple");
    if (!PyArg_ParseTuple(tuple, "y*y*y*y*np", &h->n, &h->offset, &h->one, &h->r2, &half, &pairs)) return 0;
    const Py_ssize_t limbs = h->n.len / 8, width = pairs ? 2 * limbs : limbs;
    if (h->n.len % 8 || limbs % 4 || limbs < 4 || limbs > MAX_LIMBS || h->offset.len != (limbs + 1) * 8 || h->one.len != width * 8 ||
        h->r2.len != width * 8 || half < 1 || half * 8 > limbs * 52) {
        release(h);
        return refuse("the modulus's constants do not fit each other");
    }
    const uint64_t *n = h->n.buf;
    uint64_t inverse = 1;
    for (int i = 0; i < 6; i++) inverse *= 2 - n[0] * inverse;
    *j = (Job){{(int)limbs, (0 - inverse) & MASK, n, h->offset.buf}, pairs, (int)width, (size_t)half, (size_t)half * (pairs ? 2 : 1), h->one.buf, h->r2.buf};
    return 1;
}

/* Memory for one call, with room for a table of `entries` elements. */
static int make_arena(Arena *a, const Job *j, size_t entries) {
    const size_t L = (size_t)j->field.limbs, W = (size_t)j->width, wide = 2 * L + 8;
    const size_t vectors = wide + 3 * L + 3 * W + entries * W;
    if (posix_memalign(&a->memory, 64, vectors * sizeof(V) + W * sizeof(uint64_t))) {
        PyErr_NoMemory();
        return 0;
    }
    V *next = a->memory;
    a->scratch = (Scratch){next, next + wide, next + wide + L, next + wide + 2 * L};
    next += wide + 3 * L;
    a->first = next;
    a->second = next + W;
    a->third = next + 2 * W;
    a->table = next + 3 * W;
    a->limbs = (uint64_t *)(a->table + entries * W);
    return 1;
}

static PyObject *py_powers(PyObject *self, PyObject *args) {
    PyObject *modulus, *out = NULL;
    Py_buffer bases, exponent;
    int portable;
    Job j;
    Held h;
    Arena a;
    if (!PyArg_ParseTuple(args, "Oy*y*p", &modulus, &bases, &exponent, &portable)) return NULL;
    if (read_job(modulus, &j, &h)) {
        if (bases.len % (Py_ssize_t)j.bytes || !exponent.len || exponent.len > INT32_MAX / 8)
            refuse("bases or exponent of the wrong length");
        else if ((out = PyBytes_FromStringAndSize(NULL, bases.len)) && make_arena(&a, &j, (size_t)1 << MAX_WINDOW)) {
            uint8_t *to = (uint8_t *)PyBytes_AS_STRING(out);
            Py_BEGIN_ALLOW_THREADS;
            RUN(powers, &j, &a, bases.buf, (size_t)bases.len / j.bytes, exponent.buf, (int)exponent.len * 8, to);
            Py_END_ALLOW_THREADS;
            free(a.memory);
        } else
            Py_CLEAR(out);
        release(&h);
    }
    PyBuffer_Release(&bases);
    PyBuffer_Release(&exponent);
    return out;
}

static PyObject *py_comb_table(PyObject *self, PyObject *args) {
    PyObject *modulus, *out = NULL;
    Py_buffer base;
    Py_ssize_t digits;
    int portable;
    Job j;
    Held h;
    Arena a;
    if (!PyArg_ParseTuple(args, "Oy*np", &modulus, &base, &digits, &portable)) return NULL;
    if (read_job(modulus, &j, &h)) {
        if (base.len != (Py_ssize_t)j.bytes || digits < 1 || digits > 4096)
            refuse("a base of the wrong length, or too many digits");
        else if ((out = PyBytes_FromStringAndSize(NULL, digits * 256 * j.width * 8)) && make_arena(&a, &j, 0)) {
            uint64_t *to = (uint64_t *)PyBytes_AS_STRING(out);
            Py_BEGIN_ALLOW_THREADS;
            RUN(comb_table, &j, &a, base.buf, (size_t)digits, to);
            Py_END_ALLOW_THREADS;
            free(a.memory);
        } else
            Py_CLEAR(out);
        release(&h);
    }
    PyBuffer_Release(&base);
    return out;
}

static PyObject *py_comb_powers(PyObject *self, PyObject *args) {
    PyObject *modulus, *out = NULL;
    Py_buffer table, exponents;
    Py_ssize_t digits;
    int portable;
    Job j;
    Held h;
    Arena a;
    if (!PyArg_ParseTuple(args, "Oy*ny*p", &modulus, &table, &digits, &exponents, &portable)) return NULL;
    if (read_job(modulus, &j, &h)) {
        if (digits < 1 || digits > 4096 || table.len != digits * 256 * j.width * 8 || exponents.len % digits)
            refuse("table or exponents of the wrong length");
        else if ((out = PyBytes_FromStringAndSize(NULL, exponents.len / digits * (Py_ssize_t)j.bytes)) &&
                 make_arena(&a, &j, ((size_t)(exponents.len / digits) + LANES - 1) / LANES)) {
            uint8_t *to = (uint8_t *)PyBytes_AS_STRING(out);
            Py_BEGIN_ALLOW_THREADS;
            RUN(comb_powers, &j, &a, table.buf, (size_t)digits, exponents.buf, (size_t)(exponents.len / digits), to);
            Py_END_ALLOW_THREADS;
            free(a.memory);
        } else
            Py_CLEAR(out);
        release(&h);
    }
    PyBuffer_Release(&table);
    PyBuffer_Release(&exponents);
    return out;
}

static PyObject *py_products(PyObject *self, PyObject *args) {
    PyObject *modulus, *out = NULL;
    Py_buffer numbers, fixes;
    Py_ssize_t depth;
    int prefixes, portable;
    Job j;
    Held h;
    Arena a;
    if (!PyArg_ParseTuple(args, "Oy*y*npp", &modulus, &numbers, &fixes, &depth, &prefixes, &portable)) return NULL;
    if (read_job(modulus, &j, &h)) {
        const Py_ssize_t bytes = (Py_ssize_t)j.bytes;
        if (depth < 1 || depth > PY_SSIZE_T_MAX / bytes || numbers.len % (depth * bytes) || fixes.len / 8 / j.width != depth ||
            fixes.len % (8 * j.width))
            refuse("numbers or their fixes of the wrong length");
        else if ((out = PyBytes_FromStringAndSize(NULL, prefixes ? numbers.len : numbers.len / depth)) && make_arena(&a, &j, 0)) {
            uint8_t *to = (uint8_t *)PyBytes_AS_STRING(out);
            Py_BEGIN_ALLOW_THREADS;
            RUN(products, &j, &a, numbers.buf, (size_t)(numbers.len / (depth * bytes)), (size_t)depth, prefixes, fixes.buf, to);
            Py_END_ALLOW_THREADS;
            free(a.memory);
        } else
            Py_CLEAR(out);
        release(&h);
    }
    PyBuffer_Release(&numbers);
    PyBuffer_Release(&fixes);
    return out;
}

static PyObject *py_multi_power(PyObject *self, PyObject *args) {
    PyObject *modulus, *out = NULL;
    Py_buffer bases, exponents;
    Py_ssize_t length;
    int portable;
    Job j;
    Held h;
    Arena a;
    if (!PyArg_ParseTuple(args, "Oy*y*np", &modulus, &bases, &exponents, &length, &portable)) return NULL;
    if (read_job(modulus, &j, &h)) {
        const Py_ssize_t count = bases.len / (Py_ssize_t)j.bytes;
        if (bases.len % (Py_ssize_t)j.bytes || count < 1 || length < 1 || exponents.len / length != count || exponents.len % length)
            refuse("bases or exponents of the wrong length");
        else if ((out = PyBytes_FromStringAndSize(NULL, LANES * (Py_ssize_t)j.bytes)) &&
                 make_arena(&a, &j, (((size_t)count + LANES - 1) / LANES) << STRAUS_BITS)) {
            uint8_t *to = (uint8_t *)PyBytes_AS_STRING(out);
            Py_BEGIN_ALLOW_THREADS;
            RUN(multi_power, &j, &a, bases.buf, exponents.buf, (size_t)count, (size_t)length, to);
            Py_END_ALLOW_THREADS;
            free(a.memory);
        } else
            Py_CLEAR(out);
        release(&h);
    }
    PyBuffer_Release(&bases);
    PyBuffer_Release(&exponents);
    return out;
}

static PyObject *py_fast(PyObject *self, PyObject *unused) { return PyBool_FromLong(fast()); }

static PyMethodDef methods[] = {
    {"fast", py_fast, METH_NOARGS, "Whether this processor has the instructions; every call can also run without (portable=True)."},
    {"powers", py_powers, METH_VARARGS, "(modulus, bases, exponent, portable) -> bytes"},
    {"comb_table", py_comb_table, METH_VARARGS, "(modulus, base, digits, portable) -> bytes"},
    {"comb_powers", py_comb_powers, METH_VARARGS, "(modulus, table, digits, exponents, portable) -> bytes"},
    {"products", py_products, METH_VARARGS, "(modulus, numbers, fixes, depth, prefixes, portable) -> bytes"},
    {"multi_power", py_multi_power, METH_VARARGS, "(modulus, bases, exponents, bytes of an exponent, portable) -> eight numbers"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", "Large numbers, eight at a time.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModule_Create(&module); }
