/* AVX-512 with VBMI and VNNI: 64 bytes are picked from a window of 64 or 128 and multiplied by
 * 64 weights in three instructions. */
#include "../run/layer.h"

#if defined(__x86_64__) && defined(__GNUC__)

#ifdef SPARSEFLOW_RUN_EMULATED /* a header with these instructions in C, for tests */
#include SPARSEFLOW_RUN_EMULATED
#else
#include <immintrin.h>
#endif

#define FEATURES "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni,avx2,bmi2"
#ifdef SPARSEFLOW_RUN_EMULATED
#elif defined(__clang__)
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

#define LOOK_UP_GATES(k, at, entry) look_up_gates(k, at, entry)

typedef int32_t vec __attribute__((vector_size(64)));
typedef uint32_t uvec __attribute__((vector_size(64)));

/* A byte of 64 entries, by index. */
static inline __attribute__((always_inline)) __m512i bytes_of(const uint8_t *table, __m512i at)
{
    __m512i low = _mm512_permutex2var_epi8(_mm512_load_si512(table), at,
                                           _mm512_load_si512(table + 64));
    __m512i high = _mm512_permutex2var_epi8(_mm512_load_si512(table + 128), at,
                                            _mm512_load_si512(table + 192));
    return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(at), high);
}

/* Entries of all gates: their indices are bytes of one register, gate by gate in a lane. */
static inline __attribute__((always_inline)) void look_up_gates(const struct cells *k,
                                                                const vec *at, uvec *entry)
{
    uvec all = (uvec)at[0] | (uvec)at[1] << 8 | (uvec)at[2] << 16 | (uvec)at[3] << 24;
    uvec pick = (uvec)_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0) << 2;
    uvec pairs = (pick | (pick + 64) << 8); /* of a lane, a byte of two registers */
    __m512i b0 = bytes_of(k->bytes, (__m512i)all), b1 = bytes_of(k->bytes + 256, (__m512i)all);
    const __mmask64 lower = 0x3333333333333333u;
    for (int gate = 0; gate < GATES; gate++)
        entry[gate] = (uvec)_mm512_maskz_permutex2var_epi8(
            lower, b0, (__m512i)(pairs + (uint32_t)gate * 0x0101u), b1);
    if (k->rise_bits == 5)
        return;
    __m512i b2 = bytes_of(k->bytes + 512, (__m512i)all);
    __m512i b3 = bytes_of(k->bytes + 768, (__m512i)all);
    for (int gate = 0; gate < GATES; gate++)
        entry[gate] |= (uvec)_mm512_maskz_permutex2var_epi8(
            ~lower, b2, (__m512i)((pairs + (uint32_t)gate * 0x0101u) << 16), b3);
}

#include "cells.h"

struct window {
    __m512i low[2], high[2];
};

INLINE struct window window_of(const uint8_t *x, size_t stride, int planes, int wide)
{
    struct window w;
    w.low[0] = _mm512_loadu_si512(x);
    w.low[1] = wide ? _mm512_loadu_si512(x + 64) : w.low[0];
    w.high[0] = planes > 1 ? _mm512_loadu_si512(x + stride) : w.low[0];
    w.high[1] = planes > 1 && wide ? _mm512_loadu_si512(x + stride + 64) : w.low[0];
    return w;
}

INLINE __m512i pick(const __m512i *of, __m512i place, int wide)
{
    return wide ? _mm512_permutex2var_epi8(of[0], place, of[1])
                : _mm512_permutexvar_epi8(place, of[0]);
}

/* What a kind of product is: constants wherever `sum` is inlined. */
struct kind {
    int planes, weights, wide, many;
};

/* Add four entries of 16 rows of one group to the digits of one sequence. */
INLINE void add_quad(__m512i (*total)[GROUPS], int g, const struct window *w, const uint8_t *data,
                     struct kind of)
{
    __m512i place = _mm512_load_si512(data), weight = _mm512_load_si512(data + 64);
    __m512i low = pick(w->low, place, of.wide), high = low, more = weight;
    total[0][g] = _mm512_dpbusd_epi32(total[0][g], low, weight);
    if (of.weights > 1) {
        more = _mm512_load_si512(data + 128);
        total[1][g] = _mm512_dpbusd_epi32(total[1][g], low, more);
    }
    if (of.planes > 1) {
        high = pick(w->high, place, of.wide);
        total[1][g] = _mm512_dpbusd_epi32(total[1][g], high, weight);
    }
    if (of.planes > 1 && of.weights > 1)
        total[2][g] = _mm512_dpbusd_epi32(total[2][g], high, more);
}

/* Digits of 64 rows of a block, of some sequences. */
INLINE void sum(const struct tiles *t, uint32_t block, const uint8_t *const *x, size_t stride,
                int32_t (*sums)[MOST_SUMS], struct kind of)
{
    const uint8_t *data = t->data + t->starts[block];
    const uint32_t *quads = t->quads + (size_t)block * t->windows;
    __m512i total[MOST_MANY][MOST_DIGITS][GROUPS];
    struct window w[MOST_MANY];
    int digits = of.planes + of.weights - 1;
    for (int m = 0; m < of.many; m++)
        for (int d = 0; d < digits; d++)
            for (int g = 0; g < GROUPS; g++)
                total[m][d][g] = _mm512_setzero_si512();
    for (uint32_t n = 0; n < t->windows; n++) {
        if (!quads[n])
            continue;
        for (int m = 0; m < of.many; m++)
            w[m] = window_of(x[m] + t->first[n], stride, of.planes, of.wide);
        for (uint32_t q = 0; q < quads[n]; q++)
            for (int g = 0; g < GROUPS; g++, data += 64 + 64 * of.weights)
                for (int m = 0; m < of.many; m++)
                    add_quad(total[m], g, &w[m], data, of);
    }
    for (int m = 0; m < of.many; m++)
        for (int d = 0; d < digits; d++)
            for (int g = 0; g < GROUPS; g++)
                _mm512_storeu_si512(sums[m] + d * BLOCK + g * LANES, total[m][d][g]);
}

#define KIND(number, p, w, wide, m)                                                            \
    case number:                                                                               \
        sum(t, block, x, stride, sums, (struct kind){p, w, wide, m});                          \
        break

static int kind_of(const struct tiles *t, uint32_t planes)
{
    return (int)((planes - 1) << 2 | (t->weight_digits - 1) << 1) | (t->width > 64);
}

static void product(const struct tiles *t, uint32_t block, const uint8_t *vector, size_t stride,
                    uint32_t planes, int32_t *to)
{
    const uint8_t *const x[1] = {vector};
    int32_t(*sums)[MOST_SUMS] = (int32_t(*)[MOST_SUMS])(void *)to;
    switch (kind_of(t, planes)) {
        KIND(0, 1, 1, 0, 1);
        KIND(1, 1, 1, 1, 1);
        KIND(2, 1, 2, 0, 1);
        KIND(3, 1, 2, 1, 1);
        KIND(4, 2, 1, 0, 1);
        KIND(5, 2, 1, 1, 1);
        KIND(6, 2, 2, 0, 1);
        KIND(7, 2, 2, 1, 1);
    }
}

/* As many as registers hold the sums and windows of. */
static void products(const struct tiles *t, uint32_t block, const uint8_t *const *x, size_t stride,
                     uint32_t planes, int32_t (*sums)[MOST_SUMS])
{
    switch (kind_of(t, planes)) {
        KIND(0, 1, 1, 0, 4);
        KIND(1, 1, 1, 1, 4);
        KIND(2, 1, 2, 0, 2);
        KIND(3, 1, 2, 1, 2);
        KIND(4, 2, 1, 0, 2);
        KIND(5, 2, 1, 1, 2);
        KIND(6, 2, 2, 0, 1);
        KIND(7, 2, 2, 1, 1);
    }
}

#ifdef SPARSEFLOW_RUN_EMULATED
#elif defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static int usable(void)
{
#ifdef SPARSEFLOW_RUN_EMULATED
    return 1;
#endif
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
    .many = {0, 4, 2, 1},
    .product = product,
    .products = products,
    .finish = finish,
    .project = project,
    .reset = reset,
    .renew = renew,
    .spread = spread,
};

#endif
