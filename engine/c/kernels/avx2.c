/* AVX2: a window of 32 or 64 bytes is picked from 16 at a time; products of bytes are those of
 * a size and a signed number, whose pairs fit 16 bits because no weight is -128. */
#include "../run/layer.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi2")
#endif

#define VEC 8
#define MIN(a, b) (vec)_mm256_min_epi32((__m256i)(a), (__m256i)(b))
#define MAX(a, b) (vec)_mm256_max_epi32((__m256i)(a), (__m256i)(b))
#define LOOK_UP(table, at) look_up(table, at)

typedef int32_t vec __attribute__((vector_size(32)));
typedef uint32_t uvec __attribute__((vector_size(32)));

static inline __attribute__((always_inline)) __m128i four_of(const uint32_t *table, uint64_t low,
                                                             uint64_t high)
{
    __m128i found = _mm_cvtsi32_si128((int)table[(uint32_t)low]);
    found = _mm_insert_epi32(found, (int)table[low >> 32], 1);
    found = _mm_insert_epi32(found, (int)table[(uint32_t)high], 2);
    return _mm_insert_epi32(found, (int)table[high >> 32], 3);
}

/* One by one: a gather takes longer on AMD, and on Intel where its flaws are mended. */
static inline __attribute__((always_inline)) uvec look_up(const uint32_t *table, vec at)
{
    uint64_t pairs[4];
    __builtin_memcpy(pairs, &at, sizeof pairs);
    return (uvec)_mm256_set_m128i(four_of(table, pairs[2], pairs[3]),
                                  four_of(table, pairs[0], pairs[1]));
}

#include "cells.h"

#define BYTES 32
#define NARROW 32
#define ZERO _mm256_setzero_si256()
#define LOAD(from) _mm256_load_si256((const __m256i *)(const void *)(from))
#define STORE(to, v) _mm256_storeu_si256((__m256i *)(void *)(to), v)

typedef __m256i bytes;
typedef __m256i ints;

struct window {
    __m256i part[4]; /* 16 bytes, in both halves */
};

INLINE struct window window_of(const uint8_t *x, int wide)
{
    struct window w;
    for (int n = 0; n < 4; n++)
        w.part[n] = n < 2 || wide ? _mm256_broadcastsi128_si256(
                                        _mm_loadu_si128((const __m128i *)(const void *)(x + 16 * n)))
                                  : _mm256_setzero_si256();
    return w;
}

INLINE __m256i pick(const struct window *w, __m256i place, int wide)
{
    /* The bit that chooses goes to the top of its byte. */
    __m256i bit = _mm256_slli_epi16(place, 3);
    __m256i low = _mm256_blendv_epi8(_mm256_shuffle_epi8(w->part[0], place),
                                     _mm256_shuffle_epi8(w->part[1], place), bit);
    if (!wide)
        return low;
    __m256i high = _mm256_blendv_epi8(_mm256_shuffle_epi8(w->part[2], place),
                                      _mm256_shuffle_epi8(w->part[3], place), bit);
    return _mm256_blendv_epi8(low, high, _mm256_slli_epi16(place, 2));
}

INLINE __m256i add_quads(__m256i total, __m256i x, __m256i weight)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(weight, x));
    return _mm256_add_epi32(total, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#include "pieces.h"

#define PER 2
#define TURNED 8
#define LOAD_SUMS(from) _mm256_load_si256((const __m256i *)(const void *)(from))
#define FLIPPED(from, flip)                                                                    \
    _mm_xor_si128(_mm_loadu_si128((const __m128i *)(const void *)(from)),                      \
                  _mm_set1_epi8((char)(flip)))
#define ZIP_LOW _mm_unpacklo_epi8
#define ZIP_HIGH _mm_unpackhi_epi8
#define NONE _mm_setzero_si128()

typedef __m128i tile;

/* Unpacked pairs hold sequences 0 to 3 and 8 to 11, then the others. */
INLINE void add_pair(__m256i (*total)[PER], const uint8_t *x, const uint16_t *at,
                     const int16_t *const *weight, size_t n, int digits)
{
    __m256i one = LOAD(x + at[0]), two = LOAD(x + at[1]);
    __m256i part[PER] = {_mm256_unpacklo_epi16(one, two), _mm256_unpackhi_epi16(one, two)};
    for (int d = 0; d < digits; d++) {
        int pair;
        memcpy(&pair, weight[d] + n, sizeof pair);
        for (int m = 0; m < PER; m++)
            total[d][m] = _mm256_add_epi32(total[d][m],
                                           _mm256_madd_epi16(part[m], _mm256_set1_epi32(pair)));
    }
}

INLINE void add_entries(__m256i (*total)[PER], const uint8_t *x, const uint16_t *at,
                        const int16_t *const *weight, size_t n, int digits)
{
    add_pair(total, x, at, weight, n, digits);
    add_pair(total, x, at + 2, weight, n + 2, digits);
}

/* Eight rows of eight sequences. */
INLINE void turn_eight(const int32_t *from, size_t stride, int32_t *const *to)
{
    __m256i a[8], b[8];
    for (int n = 0; n < 8; n++)
        a[n] = LOAD(from + (size_t)n * stride);
    for (int n = 0; n < 8; n += 2) {
        b[n] = _mm256_unpacklo_epi32(a[n], a[n + 1]);
        b[n + 1] = _mm256_unpackhi_epi32(a[n], a[n + 1]);
    }
    for (int n = 0; n < 8; n += 4)
        for (int m = 0; m < 2; m++) {
            a[n + 2 * m] = _mm256_unpacklo_epi64(b[n + m], b[n + m + 2]);
            a[n + 2 * m + 1] = _mm256_unpackhi_epi64(b[n + m], b[n + m + 2]);
        }
    for (int n = 0; n < 4; n++) {
        STORE(to[n], _mm256_permute2x128_si256(a[n], a[n + 4], 0x20));
        STORE(to[n + 4], _mm256_permute2x128_si256(a[n], a[n + 4], 0x31));
    }
}

INLINE void turn(const int32_t *from, size_t stride, int32_t *to)
{
    for (int part = 0; part < 2; part++) {
        int32_t *rows[8];
        for (int n = 0; n < 8; n++)
            rows[n] = to + (size_t)(4 * part + n + (n > 3 ? 4 : 0)) * MOST_SUMS;
        turn_eight(from + 8 * part, stride, rows);
    }
}

INLINE void write_words(int16_t *to, __m128i low, __m128i high, int32_t offset, int two)
{
    __m256i v = _mm256_cvtepu8_epi16(low);
    if (two)
        v = _mm256_or_si256(v, _mm256_slli_epi16(_mm256_cvtepu8_epi16(high), 8));
    STORE(to, _mm256_sub_epi16(v, _mm256_set1_epi16((short)offset)));
}

#define words_of(from)                                                                         \
    (some_words)_mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)(const void *)(from)))

#include "beside.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static int usable(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
}

const struct kernel KERNEL_AVX2 = {
    .name = "avx2",
    .usable = usable,
    .windows = {NARROW, 2 * NARROW},
    .costs = {1.0f, 1.5f},
    .flip = {{0x80, 0x80}, {0x80, 0x80}},
    .no_least = 1,
    .product = product,
    .finish = finish,
    .beside_from = {{10, 6}, {7, 7}},
    .gather = gather,
    .beside = beside,
    .project = project,
    .reset = reset,
    .renew = renew,
    .spread = spread,
};

#endif
