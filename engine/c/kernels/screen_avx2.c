/* Screens with AVX2: 32 digits times bytes at a time, whose pairs fit 16 bits. */
#include "screens.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#define INLINE static inline __attribute__((always_inline))
#define LOAD(from) _mm256_load_si256((const __m256i *)(const void *)(from))

/* Eight rows of 16 columns: four pairs of 3 * 127 * 2 stay within 16 bits. */
INLINE __m256i columns(__m256i total, __m256i plane, const int8_t *digits)
{
    __m256i pairs = _mm256_setzero_si256();
    for (int n = 0; n < 4; n++) {
        int32_t four;
        __builtin_memcpy(&four, digits + 4 * n, sizeof four);
        __m256i held = _mm256_and_si256(_mm256_srli_epi16(plane, 2 * n), _mm256_set1_epi8(3));
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(held, _mm256_set1_epi32(four)));
    }
    return _mm256_add_epi32(total, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

static uint32_t first(const struct screen *s, const struct query *q, uint32_t block, int64_t tau,
                      int64_t *bounds)
{
    const uint8_t *plane = s->planes + (size_t)block * s->groups * 64;
    int32_t sums[SCREEN_BLOCK] __attribute__((aligned(32)));
    __m256i total[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (uint32_t g = 0; g < s->groups; g++)
        for (int half = 0; half < 2; half++)
            total[half] = columns(total[half], LOAD(plane + g * 64 + 32 * half),
                                  q->digits + g * SCREEN_GROUP);
    for (int half = 0; half < 2; half++)
        _mm256_store_si256((__m256i *)(void *)(sums + 8 * half), total[half]);
    return bounds_of(s, q, block, tau, sums, bounds);
}

INLINE int64_t added(__m256i of)
{
    int32_t parts[8];
    int64_t sum = 0;
    _mm256_storeu_si256((__m256i *)(void *)parts, of);
    for (int n = 0; n < 8; n++)
        sum += parts[n];
    return sum;
}

/* Products take one factor without a sign: sizes of digits, whose signs the middles get. Pairs of
 * 127 * 120 * 2 stay within 16 bits. */
static int32_t second(const struct screen *s, const struct query *q, uint32_t row)
{
    const int8_t *at = s->middles + (size_t)row * s->bytes;
    __m256i total = _mm256_setzero_si256();
    for (uint32_t n = 0; n < s->bytes; n += 32) {
        __m256i digits = LOAD(q->digits + n);
        __m256i signs = _mm256_sign_epi8(LOAD(at + n), digits);
        __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(digits), signs);
        total = _mm256_add_epi32(total, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return (int32_t)added(total);
}

/* Sums of 32 bits hold 2,048 columns of the largest numbers in each of 8 lanes. */
static int64_t exact(const struct screen *s, const struct query *q, uint32_t row)
{
    const int16_t *w = s->weight + (size_t)row * s->words;
    int64_t total = 0;
    for (uint32_t from = 0; from < s->words; from += SCREEN_COLUMNS / 2) {
        uint32_t end = from + SCREEN_COLUMNS / 2 < s->words ? from + SCREEN_COLUMNS / 2 : s->words;
        __m256i high = _mm256_setzero_si256(), low = high;
        for (uint32_t n = from; n < end; n += 16) {
            high = _mm256_add_epi32(high, _mm256_madd_epi16(LOAD(w + n), LOAD(q->high + n)));
            low = _mm256_add_epi32(low, _mm256_madd_epi16(LOAD(w + n), LOAD(q->low + n)));
        }
        total += 256 * added(high) + added(low);
    }
    return total;
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const struct screener SCREENER_AVX2 = {
    .name = "avx2", .first = first, .second = second, .exact = exact};

#endif
