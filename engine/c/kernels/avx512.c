/* AVX-512 with VBMI and VNNI: 64 bytes are picked from a window of 64 or 128 and multiplied by
 * 64 weights in three instructions. */
#include "../run/layer.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define FEATURES "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni,avx2,bmi2"
#ifdef __clang__
#pragma clang attribute push(__attribute__((target(FEATURES))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni,avx2,bmi2")
#pragma GCC target("prefer-vector-width=512")
#endif

#define VEC 16
#define MIN(a, b) (vec)_mm512_min_epi32((__m512i)(a), (__m512i)(b))
#define MAX(a, b) (vec)_mm512_max_epi32((__m512i)(a), (__m512i)(b))
#define LOOK_UP(table, at) (uvec)_mm512_i32gather_epi32((__m512i)(at), (table), 4)

#include "cells.h"

struct window {
    __m512i low[2], high[2];
};

INLINE struct window window_of(const uint8_t *x,
                                                                     size_t stride, int planes,
                                                                     int wide)
{
    struct window w;
    w.low[0] = _mm512_loadu_si512(x);
    w.low[1] = wide ? _mm512_loadu_si512(x + 64) : w.low[0];
    w.high[0] = planes > 1 ? _mm512_loadu_si512(x + stride) : w.low[0];
    w.high[1] = planes > 1 && wide ? _mm512_loadu_si512(x + stride + 64) : w.low[0];
    return w;
}

INLINE __m512i pick(const __m512i *of, __m512i place,
                                                          int wide)
{
    return wide ? _mm512_permutex2var_epi8(of[0], place, of[1])
                : _mm512_permutexvar_epi8(place, of[0]);
}

/* Digits of 64 rows of a block; all but the pointers are constants where this is inlined. */
INLINE void sum(const struct tiles *t, uint32_t block,
                                                      const uint8_t *x, size_t stride,
                                                      int32_t *sums, int planes, int weights,
                                                      int wide)
{
    const uint8_t *data = t->data + t->starts[block];
    const uint32_t *quads = t->quads + (size_t)block * t->windows;
    __m512i total[MOST_DIGITS][GROUPS];
    int digits = planes + weights - 1;
    for (int d = 0; d < digits; d++)
        for (int g = 0; g < GROUPS; g++)
            total[d][g] = _mm512_setzero_si512();
    for (uint32_t n = 0; n < t->windows; n++) {
        if (!quads[n])
            continue;
        struct window w = window_of(x + t->first[n], stride, planes, wide);
        for (uint32_t q = 0; q < quads[n]; q++)
#pragma GCC unroll 4
            for (int g = 0; g < GROUPS; g++) {
                __m512i place = _mm512_load_si512(data), weight = _mm512_load_si512(data + 64);
                __m512i low = pick(w.low, place, wide);
                total[0][g] = _mm512_dpbusd_epi32(total[0][g], low, weight);
                if (planes > 1) {
                    __m512i high = pick(w.high, place, wide);
                    total[1][g] = _mm512_dpbusd_epi32(total[1][g], high, weight);
                    if (weights > 1) {
                        __m512i more = _mm512_load_si512(data + 128);
                        total[1][g] = _mm512_dpbusd_epi32(total[1][g], low, more);
                        total[2][g] = _mm512_dpbusd_epi32(total[2][g], high, more);
                    }
                } else if (weights > 1) {
                    __m512i more = _mm512_load_si512(data + 128);
                    total[1][g] = _mm512_dpbusd_epi32(total[1][g], low, more);
                }
                data += 64 + 64 * weights;
            }
    }
    for (int d = 0; d < digits; d++)
        for (int g = 0; g < GROUPS; g++)
            _mm512_storeu_si512(sums + d * BLOCK + g * LANES, total[d][g]);
}

static void product(const struct tiles *t, uint32_t block, const uint8_t *x, size_t stride,
                    uint32_t planes, int32_t *sums)
{
    switch ((planes - 1) << 2 | (t->weight_digits - 1) << 1 | (t->width > 64)) {
    case 0: sum(t, block, x, stride, sums, 1, 1, 0); break;
    case 1: sum(t, block, x, stride, sums, 1, 1, 1); break;
    case 2: sum(t, block, x, stride, sums, 1, 2, 0); break;
    case 3: sum(t, block, x, stride, sums, 1, 2, 1); break;
    case 4: sum(t, block, x, stride, sums, 2, 1, 0); break;
    case 5: sum(t, block, x, stride, sums, 2, 1, 1); break;
    case 6: sum(t, block, x, stride, sums, 2, 2, 0); break;
    default: sum(t, block, x, stride, sums, 2, 2, 1); break;
    }
}

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static int usable(void)
{
    return __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2");
}

const struct kernel KERNEL_AVX512 = {
    .name = "avx512",
    .usable = usable,
    .windows = {64, 128},
    .costs = {1.0f, 1.05f},
    .flip = {{0, 0}, {0, 0}},
    .product = product,
    .finish = finish,
    .project = project,
    .spread = spread,
};

#endif
