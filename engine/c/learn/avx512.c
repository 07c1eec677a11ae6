/* Training with AVX-512: pairs of weights are multiplied and added in one instruction. */
#include "learn.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

static int usable(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,bmi2")
#pragma GCC target("prefer-vector-width=512")

typedef int32_t lanes_of_32 __attribute__((vector_size(64)));

#define INLINE_HERE static inline __attribute__((always_inline))

INLINE_HERE __m512i lanes_at(const int16_t *from)
{
    return _mm512_castsi256_si512(_mm256_loadu_si256((const void *)from));
}

/* Two elements' lanes are put side by side, and both products added at once. */
INLINE_HERE __m512i pair(__m512i total, const int16_t *values, const uint32_t *places,
                         const int16_t *from, size_t stride)
{
    const __m512i beside = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9,
                                            40, 8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1,
                                            32, 0);
    __m512i one = lanes_at(from + places[0] * stride), two = lanes_at(from + places[1] * stride);
    int32_t both;
    __builtin_memcpy(&both, values, sizeof both);
    return _mm512_dpwssd_epi32(total, _mm512_permutex2var_epi16(one, beside, two),
                               _mm512_set1_epi32(both));
}

INLINE_HERE lanes_of_32 pairs(const int16_t *values, const uint32_t *places, uint32_t count,
                              const int16_t *from, size_t stride, lanes_of_32 sum)
{
    __m512i one = (__m512i)sum, two = _mm512_setzero_si512();
    uint32_t n = 0;
    for (; n + 4 <= count; n += 4) {
        one = pair(one, values + n, places + n, from, stride);
        two = pair(two, values + n + 2, places + n + 2, from, stride);
    }
    if (n < count)
        one = pair(one, values + n, places + n, from, stride);
    return (lanes_of_32)_mm512_add_epi32(one, two);
}

/* `count` is a multiple of 16. */
INLINE_HERE int64_t dot(const int16_t *a, const int16_t *b, size_t count)
{
    __m512i one = _mm512_setzero_si512(), two = one;
    size_t n = 0;
    for (; n + 64 <= count; n += 64) {
        one = _mm512_dpwssd_epi32(one, _mm512_loadu_si512(a + n), _mm512_loadu_si512(b + n));
        two = _mm512_dpwssd_epi32(two, _mm512_loadu_si512(a + n + 32),
                                  _mm512_loadu_si512(b + n + 32));
    }
    if (n + 32 <= count) {
        one = _mm512_dpwssd_epi32(one, _mm512_loadu_si512(a + n), _mm512_loadu_si512(b + n));
        n += 32;
    }
    if (n < count) {
        __m256i x = _mm256_loadu_si256((const void *)(a + n));
        __m256i y = _mm256_loadu_si256((const void *)(b + n));
        one = _mm512_add_epi32(one, _mm512_zextsi256_si512(_mm256_madd_epi16(x, y)));
    }
    return _mm512_reduce_add_epi32(_mm512_add_epi32(one, two));
}

/* Gradients are not -2**15: both products of a pair fit 32 bits. */
INLINE_HERE int64_t wide_dot(const int16_t *a, const int16_t *b, uint32_t steps, uint32_t lanes,
                             const int32_t *lift)
{
    __m512i total = _mm512_setzero_si512();
    for (uint32_t t = 0; t < steps; t++) {
        __m512i each = _mm512_setzero_si512();
        for (uint32_t n = 0; n < lanes; n += 16, a += 16, b += 16)
            each = _mm512_add_epi64(each, _mm512_cvtepi32_epi64(_mm256_madd_epi16(
                                              _mm256_loadu_si256((const void *)a),
                                              _mm256_loadu_si256((const void *)b))));
        total = _mm512_add_epi64(total, _mm512_slli_epi64(each, (unsigned)lift[steps - 1 - t]));
    }
    return _mm512_reduce_add_epi64(total);
}

#define PAIRS pairs
#define DOT dot
#define WIDE_DOT wide_dot
#define LOOK_UP(table, at) ((lanes_of_32)_mm512_i32gather_epi32((__m512i)(at), (table), 4))
#define KERNEL LEARN_AVX512
#define NAME "avx512"
#define USABLE usable
#include "steps.h"
#pragma GCC pop_options

#else
const struct learn_kernel LEARN_AVX512 = {.name = "avx512"};
#endif
