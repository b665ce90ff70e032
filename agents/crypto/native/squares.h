/* Sums of three squares, for numbers up to 2^126 (Rabin and Shallit, Randomized algorithms in number theory, 1986): a random square is taken
 * off until the rest is a prime p = 1 mod 4 or twice one, which the remainders of Euclid's algorithm on p and a root of -1 write as two squares
 * (Hermite 1848; Brillhart 1972). Whether p is prime is never proved: a power that is a root of -1 and a sum that comes out are enough.
 *
 * Not constant time, as nothing here; what the stack held is not wiped.
 */
typedef unsigned __int128 Wide;

#define SMALL ((Wide)1 << 20) /* below it there may be no such prime: all squares are tried */
#define MOST_TRIES 20000      /* one in 45 is right for the longest numbers */
#define DIVISORS 15
static const uint8_t DIVISOR[DIVISORS] = {3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53};
#define DIVISORS_PRODUCT UINT64_C(16294579238595022365)

/* Choices need only be spread evenly: the roots are as secret as the number, and nothing is published of either. xoshiro256** (Blackman and
   Vigna 2018). */
static uint64_t draw(uint64_t s[4]) {
    const uint64_t times5 = s[1] * 5, found = (times5 << 7 | times5 >> 57) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return found;
}

/* Uniform in [0, most]. */
static uint64_t draw_up_to(uint64_t s[4], uint64_t most) {
    const int spare = most ? __builtin_clzll(most) : 63;
    uint64_t found;
    do found = draw(s) >> spare;
    while (found > most);
    return found;
}

static uint64_t floor_root(Wide n) {
    if (!n) return 0;
    uint64_t root = (uint64_t)__builtin_sqrt((double)n);
    root = (uint64_t)((root + n / root) / 2);
    while ((Wide)root * root > n) root--;
    while ((Wide)(root + 1) * (root + 1) <= n) root++;
    return root;
}

/* a b / 2^128 mod m, below 2m, for a and b below 2m and an odd m < 2^126; k = -1/m mod 2^64. */
static inline Wide wide_times(Wide a, Wide b, Wide m, uint64_t k) {
    const uint64_t b0 = (uint64_t)b, b1 = (uint64_t)(b >> 64), m0 = (uint64_t)m, m1 = (uint64_t)(m >> 64);
    uint64_t t0 = 0, t1 = 0;
    for (int i = 0; i < 2; i++) {
        const uint64_t digit = (uint64_t)(i ? a >> 64 : a);
        Wide u = (Wide)digit * b0 + t0, v = (Wide)digit * b1 + t1 + (uint64_t)(u >> 64);
        const uint64_t q = (uint64_t)u * k, t2 = (uint64_t)(v >> 64);
        u = (Wide)q * m0 + (uint64_t)u;
        v = (Wide)q * m1 + (uint64_t)v + (uint64_t)(u >> 64);
        t0 = (uint64_t)v;
        t1 = t2 + (uint64_t)(v >> 64);
    }
    return (Wide)t1 << 64 | t0;
}

/* The least of 2, 3, …, 53 that is no square modulo p = 1 mod 4, 0 if there is none or one of them divides p. */
static unsigned non_residue(Wide p) {
    static const uint64_t SQUARES[DIVISORS] = {
        0x2, 0x12, 0x16, 0x23a, 0x161a, 0x1a316, 0x30af2, 0x5335e, 0x13d122f2, 0x121d47b6, 0x165e211e9a, 0x1b382b50736, 0x35883a3ee52,
        0x4351b2753de, 0x12dd703303aed2,
    };
    const uint64_t rest = (uint64_t)(p % DIVISORS_PRODUCT);
    unsigned found = 0;
#pragma GCC unroll 15
    for (int i = 0; i < DIVISORS; i++) {
        const unsigned residue = (unsigned)(rest % DIVISOR[i]);
        if (!residue) return 0;
        if (!found && !(SQUARES[i] >> residue & 1)) found = DIVISOR[i];
    }
    return p % 8 == 5 ? 2 : found;
}

/* A root of -1 modulo p = 1 mod 4, 0 where that shows p to be composite. */
static Wide root_of_minus_one(Wide p) {
    const unsigned base = non_residue(p);
    if (!base) return 0;
    uint64_t k = 1;
    for (int i = 0; i < 6; i++) k *= 2 - (uint64_t)p * k;
    k = 0 - k;
    const Wide one = (0 - p) % p, exponent = (p - 1) / 4;
    Wide by = one, x;
    for (unsigned i = 1; i < base; i++) by = by + one >= p ? by + one - p : by + one;
    int bit = 127;
    while (!(exponent >> bit & 1)) bit--;
    for (x = by; bit-- > 0;) {
        x = wide_times(x, x, p, k);
        if (exponent >> bit & 1) {
            if (base == 2)
                x = x + x >= 2 * p ? x + x - 2 * p : x + x;
            else
                x = wide_times(x, by, p, k);
        }
    }
    const Wide square = wide_times(x, x, p, k);
    if ((square >= p ? square - p : square) != p - one) return 0;
    x = wide_times(x, 1, p, k);
    return x >= p ? x - p : x;
}

/* p = a² + b² for a prime p = 1 mod 4; without promise for others. */
static int two_squares(Wide p, uint64_t *a, uint64_t *b) {
    Wide above = p, x = root_of_minus_one(p);
    if (!x) return 0;
    const uint64_t root = floor_root(p);
    while (x > root) {
        const Wide next = above % x;
        above = x;
        x = next;
    }
    if (!x) return 0;
    *a = (uint64_t)x;
    *b = (uint64_t)(above % x);
    return (Wide)*a * *a + (Wide)*b * *b == p;
}

static int squares_of_small(uint64_t n, uint64_t *out, uint64_t s[4]) {
    const uint64_t root = floor_root(n), start = draw_up_to(s, root);
    for (uint64_t i = 0; i <= root; i++) {
        const uint64_t x = (start + i) % (root + 1), m = n - x * x;
        for (uint64_t a = 0, b = floor_root(m); a <= b;) {
            const uint64_t sum = a * a + b * b;
            if (sum == m) {
                out[0] = x, out[1] = a, out[2] = b;
                return 1;
            }
            if (sum < m)
                a++;
            else
                b--;
        }
    }
    return 0;
}

static int squares_of_large(Wide n, uint64_t *out, uint64_t s[4]) {
    /* n - x² is odd and 1 mod 4, or for n = 3 mod 8 twice such a number. */
    const unsigned odd = n % 4 != 1, twice = n % 4 == 3;
    const uint64_t root = floor_root(n), most = (root - odd) / 2;
    if ((Wide)root * root == n) { /* then no n - x² is prime */
        out[0] = root, out[1] = out[2] = 0;
        return 1;
    }
    for (int i = 0; i < MOST_TRIES; i++) {
        const uint64_t x = 2 * draw_up_to(s, most) + odd;
        uint64_t a, b;
        if (!two_squares((n - (Wide)x * x) >> twice, &a, &b)) continue;
        out[0] = x;
        out[1] = twice ? a + b : a;
        out[2] = !twice ? b : a > b ? a - b : b - a;
        return 1;
    }
    return 0;
}

/* For each number n, two words, lower one first, the three roots whose squares are n. 0: one is no such sum, or above 2^126. */
static int three_squares(const uint64_t *numbers, size_t count, uint64_t s[4], uint64_t *out) {
    for (size_t i = 0; i < count; i++, out += 3) {
        Wide n = (Wide)numbers[2 * i + 1] << 64 | numbers[2 * i];
        if (n > (Wide)1 << 126) return 0;
        int fours = 0;
        while (n && n % 4 == 0) n /= 4, fours++;
        if (n % 8 == 7 || !(n < SMALL ? squares_of_small((uint64_t)n, out, s) : squares_of_large(n, out, s))) return 0;
        for (int k = 0; k < 3; k++) out[k] <<= fours;
    }
    return 1;
}
