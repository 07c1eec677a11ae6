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
