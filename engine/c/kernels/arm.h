/* What both kernels of 64-bit ARM share: `TBL` picks from 64 bytes, with `TBX` from 128. */
#include <arm_neon.h>

#define VEC 4
#define MIN(a, b) (vec)vminq_s32((int32x4_t)(a), (int32x4_t)(b))
#define MAX(a, b) (vec)vmaxq_s32((int32x4_t)(a), (int32x4_t)(b))
#define LOOK_UP(table, at)                                                                     \
    (uvec){(table)[(at)[0]], (table)[(at)[1]], (table)[(at)[2]], (table)[(at)[3]]}

#include "cells.h"

#define BYTES 16
#define NARROW 64
#define ZERO vdupq_n_s32(0)
#define LOAD(from) vld1q_u8(from)
#define STORE(to, v) vst1q_s32(to, v)

typedef uint8x16_t bytes;
typedef int32x4_t ints;

struct window {
    uint8x16x4_t low, high;
};

INLINE struct window window_of(const uint8_t *x, int wide)
{
    struct window w;
    w.low = vld1q_u8_x4(x);
    w.high = wide ? vld1q_u8_x4(x + 64) : w.low;
    return w;
}

INLINE uint8x16_t pick(const struct window *w, uint8x16_t place, int wide)
{
    uint8x16_t found = vqtbl4q_u8(w->low, place);
    return wide ? vqtbx4q_u8(found, w->high, vsubq_u8(place, vdupq_n_u8(64))) : found;
}

#define PER 4
#define TURNED 4
#define LOAD_SUMS(from) vld1q_s32(from)
#define FLIPPED(from, flip) veorq_u8(vld1q_u8(from), vdupq_n_u8(flip))
#define ZIP_LOW vzip1q_u8
#define ZIP_HIGH vzip2q_u8
#define NONE vdupq_n_u8(0)
#define words_of(from) __builtin_convertvector(read_weights(from), some_words)

typedef uint8x16_t tile;
typedef int8_t some_weights __attribute__((vector_size(16)));

INLINE some_weights read_weights(const uint8_t *from)
{
    some_weights found;
    memcpy(&found, from, sizeof found);
    return found;
}

/* One entry; its weight is a part of a register, which must be a constant. */
#define ADD_ENTRY(n)                                                                           \
    for (int part = 0; part < 2; part++) {                                                     \
        int16x8_t v = vld1q_s16((const int16_t *)(const void *)(x + at[n]) + 8 * part);        \
        for (int d = 0; d < digits; d++) {                                                     \
            int32x4_t *of = total[d] + 2 * part;                                               \
            of[0] = vmlal_lane_s16(of[0], vget_low_s16(v), w[d], n);                           \
            of[1] = vmlal_high_lane_s16(of[1], v, w[d], n);                                    \
        }                                                                                      \
    }

INLINE void add_entries(int32x4_t (*total)[PER], const uint8_t *x, const uint16_t *at,
                        const int16_t *const *weight, size_t from, int digits)
{
    int16x4_t w[2];
    for (int d = 0; d < digits; d++)
        w[d] = vld1_s16(weight[d] + from);
    ADD_ENTRY(0)
    ADD_ENTRY(1)
    ADD_ENTRY(2)
    ADD_ENTRY(3)
}

INLINE int32x4_t joined(int32x4_t low, int32x4_t high, int upper)
{
    int64x2_t a = vreinterpretq_s64_s32(low), b = vreinterpretq_s64_s32(high);
    return vreinterpretq_s32_s64(upper ? vzip2q_s64(a, b) : vzip1q_s64(a, b));
}

/* Four rows of all sequences. */
INLINE void turn(const int32_t *from, size_t stride, int32_t *to)
{
    for (int part = 0; part < 4; part++, from += 4, to += (size_t)4 * MOST_SUMS) {
        int32x4_t a = vld1q_s32(from), b = vld1q_s32(from + stride);
        int32x4_t c = vld1q_s32(from + 2 * stride), d = vld1q_s32(from + 3 * stride);
        int32x4_t ab[2] = {vzip1q_s32(a, b), vzip2q_s32(a, b)};
        int32x4_t cd[2] = {vzip1q_s32(c, d), vzip2q_s32(c, d)};
        for (int n = 0; n < 4; n++)
            vst1q_s32(to + n * MOST_SUMS, joined(ab[n / 2], cd[n / 2], n % 2));
    }
}

INLINE void write_words(int16_t *to, uint8x16_t low, uint8x16_t high, int32_t offset, int two)
{
    uint16x8_t least = vdupq_n_u16((uint16_t)offset), a = vmovl_u8(vget_low_u8(low));
    uint16x8_t b = vmovl_high_u8(low);
    if (two) {
        a = vorrq_u16(a, vshll_n_u8(vget_low_u8(high), 8));
        b = vorrq_u16(b, vshll_high_n_u8(high, 8));
    }
    vst1q_s16(to, vreinterpretq_s16_u16(vsubq_u16(a, least)));
    vst1q_s16(to + 8, vreinterpretq_s16_u16(vsubq_u16(b, least)));
}

#include "beside.h"
