/* Screens with AVX-512: 64 digits times bytes in an instruction, bounds of 8 rows in a register. */
#include "screens.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#endif

#define INLINE static inline __attribute__((always_inline))

/* Digits of four columns of all rows, which stand 2 * n bits up in their bytes. */
INLINE __m512i columns(__m512i total, __m512i plane, const int8_t *digits, int n)
{
    int32_t four;
    __builtin_memcpy(&four, digits + 4 * n, sizeof four);
    __m512i held = _mm512_and_si512(plane, _mm512_set1_epi8((char)(3 << 2 * n)));
    return _mm512_dpbusd_epi32(total, held, _mm512_set1_epi32(four));
}

INLINE __m512i block_sums(const struct screen *s, const struct query *q, uint32_t block)
{
    const uint8_t *plane = s->planes + (size_t)block * s->groups * 64;
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (uint32_t g = 0; g < s->groups; g++) {
        const int8_t *digits = q->digits + g * SCREEN_GROUP;
        __m512i held = _mm512_load_si512(plane + g * 64);
        a = columns(a, held, digits, 0);
        b = columns(b, held, digits, 1);
        c = columns(c, held, digits, 2);
        d = columns(d, held, digits, 3);
    }
    a = _mm512_add_epi32(a, _mm512_srai_epi32(b, 2));
    return _mm512_add_epi32(
        a, _mm512_add_epi32(_mm512_srai_epi32(c, 4), _mm512_srai_epi32(d, 6)));
}

/* Bounds of eight rows: sums times scales, norms, exponents and priors of them. */
INLINE __mmask8 eight(__m256i scaled, __m256i first, __m512i reach, __m128i shift, __m128i by,
                      int64_t tau, int64_t *bounds)
{
    __m512i word = _mm512_cvtepu32_epi64(first);
    __m512i norm = _mm512_and_si512(_mm512_srli_epi64(word, 20), _mm512_set1_epi64(255));
    __m512i sum = _mm512_sll_epi64(_mm512_cvtepi32_epi64(scaled), shift);
    sum = _mm512_add_epi64(sum, _mm512_mul_epu32(norm, reach));
    sum = _mm512_sllv_epi64(sum, _mm512_srli_epi64(word, 28));
    __m256i prior = _mm256_srai_epi32(_mm256_slli_epi32(first, 20), 20);
    sum = _mm512_add_epi64(sum, _mm512_sll_epi64(_mm512_cvtepi32_epi64(prior), by));
    _mm512_storeu_si512(bounds, sum);
    return _mm512_cmpge_epi64_mask(sum, _mm512_set1_epi64(tau));
}

static uint32_t first(const struct screen *s, const struct query *q, uint32_t block, int64_t tau,
                      int64_t *bounds)
{
    __m512i words = _mm512_load_si512(s->first + (size_t)block * SCREEN_BLOCK);
    __m512i sums = _mm512_slli_epi32(block_sums(s, q, block), 1);
    __m512i scale = _mm512_and_si512(_mm512_srli_epi32(words, 12), _mm512_set1_epi32(255));
    sums = _mm512_mullo_epi32(_mm512_sub_epi32(sums, _mm512_set1_epi32(3 * q->sum)), scale);
    __m512i reach = _mm512_set1_epi64(q->reaches[0] << s->lift); /* below 2**32 */
    __m128i shift = _mm_cvtsi32_si128(q->shift);
    __m128i by = _mm_cvtsi32_si128(s->prior_shift + SCREEN_FRACTION);
    uint32_t low = eight(_mm512_castsi512_si256(sums), _mm512_castsi512_si256(words), reach, shift,
                         by, tau, bounds);
    uint32_t high = eight(_mm512_extracti64x4_epi64(sums, 1), _mm512_extracti64x4_epi64(words, 1),
                          reach, shift, by, tau, bounds + 8);
    return low | high << 8;
}

/* Products take one factor without a sign: 128 more, and its sum with the digits less. */
static int32_t second(const struct screen *s, const struct query *q, uint32_t row)
{
    const int8_t *at = s->middles + (size_t)row * s->bytes;
    __m512i sum = _mm512_setzero_si512(), least = _mm512_set1_epi8((char)0x80);
    for (uint32_t n = 0; n < s->bytes; n += SCREEN_BYTES)
        sum = _mm512_dpbusd_epi32(sum, _mm512_xor_si512(_mm512_load_si512(at + n), least),
                                  _mm512_load_si512(q->digits + n));
    return _mm512_reduce_add_epi32(sum) - 128 * q->sum;
}

/* 4,096 columns of the largest numbers still fit 32 bits in each half of a state. */
static int64_t exact(const struct screen *s, const struct query *q, uint32_t row)
{
    const int16_t *w = s->weight + (size_t)row * s->words;
    __m512i high = _mm512_setzero_si512(), low = high;
    for (uint32_t n = 0; n < s->words; n += SCREEN_WORDS) {
        __m512i held = _mm512_load_si512(w + n);
        high = _mm512_add_epi32(high, _mm512_madd_epi16(held, _mm512_load_si512(q->high + n)));
        low = _mm512_add_epi32(low, _mm512_madd_epi16(held, _mm512_load_si512(q->low + n)));
    }
    __m512i sum = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(high));
    sum = _mm512_add_epi64(sum, _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(high, 1)));
    sum = _mm512_slli_epi64(sum, 8);
    sum = _mm512_add_epi64(sum, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(low)));
    sum = _mm512_add_epi64(sum, _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(low, 1)));
    return _mm512_reduce_add_epi64(sum);
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const struct screener SCREENER_AVX512 = {
    .name = "avx512", .first = first, .second = second, .exact = exact};

#endif
