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
#define LOOK_UP(table, at) (uvec)_mm256_i32gather_epi32((const int *)(table), (__m256i)(at), 4)

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
    .project = project,
    .reset = reset,
    .renew = renew,
    .spread = spread,
};

#endif
