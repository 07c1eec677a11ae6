/* Screens with NEON of any 64-bit ARM: products of signed bytes in 16 bits, summed up in pairs. */
#include "screens.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#define INLINE static inline __attribute__((always_inline))

INLINE int32x4_t add_quads(int32x4_t total, int8x16_t a, int8x16_t b)
{
    int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    int32x4_t high = vpaddlq_s16(vmull_high_s8(a, b));
    return vaddq_s32(total, vpaddq_s32(low, high));
}

INLINE int8x16_t digits_of(uint8x16_t plane, int n)
{
    uint8x16_t moved = vshlq_u8(plane, vdupq_n_s8((int8_t)(-2 * n)));
    return vreinterpretq_s8_u8(vandq_u8(moved, vdupq_n_u8(3)));
}

static uint32_t first(const struct screen *s, const struct query *q, uint32_t block, int64_t tau,
                      int64_t *bounds)
{
    const uint8_t *plane = s->planes + (size_t)block * s->groups * 64;
    int32_t sums[SCREEN_BLOCK];
    int32x4_t total[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
    for (uint32_t g = 0; g < s->groups; g++)
        for (int n = 0; n < 4; n++) {
            int32_t four;
            __builtin_memcpy(&four, q->digits + g * SCREEN_GROUP + 4 * n, sizeof four);
            int8x16_t digits = vreinterpretq_s8_s32(vdupq_n_s32(four));
            for (int rows = 0; rows < 4; rows++)
                total[rows] = add_quads(
                    total[rows], digits_of(vld1q_u8(plane + g * 64 + 16 * rows), n), digits);
        }
    for (int rows = 0; rows < 4; rows++)
        vst1q_s32(sums + 4 * rows, total[rows]);
    return bounds_of(s, q, block, tau, sums, bounds);
}

static int32_t second(const struct screen *s, const struct query *q, uint32_t row)
{
    const int8_t *at = s->middles + (size_t)row * s->bytes;
    int32x4_t total = vdupq_n_s32(0);
    for (uint32_t n = 0; n < s->bytes; n += 16)
        total = add_quads(total, vld1q_s8(at + n), vld1q_s8(q->digits + n));
    return vaddvq_s32(total);
}

static int64_t exact(const struct screen *s, const struct query *q, uint32_t row)
{
    const int16_t *w = s->weight + (size_t)row * s->words;
    int64x2_t high = vdupq_n_s64(0), low = high;
    for (uint32_t n = 0; n < s->words; n += 4) {
        int16x4_t held = vld1_s16(w + n);
        high = vpadalq_s32(high, vmull_s16(held, vld1_s16(q->high + n)));
        low = vpadalq_s32(low, vmull_s16(held, vld1_s16(q->low + n)));
    }
    return 256 * vaddvq_s64(high) + vaddvq_s64(low);
}

const struct screener SCREENER_NEON = {
    .name = "neon", .first = first, .second = second, .exact = exact};

#endif
