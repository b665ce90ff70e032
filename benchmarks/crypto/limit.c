/* How many VPMADD52 instructions of 512 bits this core completes: sixteen sums that do not wait for each other, nothing but registers.
 * The latency is four cycles and there are at most two ports, so eight sums would do. */
#include <immintrin.h>
#include <stdint.h>

#define SUMS 16

int usable(void) { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512ifma"); }

/* Runs 16 * rounds instructions; the result only keeps the compiler from leaving them out. */
__attribute__((target("avx512f,avx512ifma"))) uint64_t multiply(uint64_t rounds) {
    const __m512i a = _mm512_set1_epi64(0x123456789abcd), b = _mm512_set1_epi64(0xfedcba987654);
    __m512i sum[SUMS];
    for (int i = 0; i < SUMS; i++) sum[i] = _mm512_set1_epi64(i);
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < SUMS; i++) sum[i] = i % 2 ? _mm512_madd52hi_epu64(sum[i], a, b) : _mm512_madd52lo_epu64(sum[i], a, b);
    }
    for (int i = 1; i < SUMS; i++) sum[0] = _mm512_add_epi64(sum[0], sum[i]);
    return (uint64_t)_mm512_reduce_add_epi64(sum[0]);
}
