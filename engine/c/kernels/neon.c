/* NEON of any 64-bit ARM: products of signed bytes in 16 bits, summed up in pairs. */
#include "../run/layer.h"

#if defined(__aarch64__)

#include "arm.h"

INLINE int32x4_t add_quads(int32x4_t total, uint8x16_t x, uint8x16_t weight)
{
    int8x16_t a = vreinterpretq_s8_u8(x), b = vreinterpretq_s8_u8(weight);
    int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    int32x4_t high = vpaddlq_s16(vmull_high_s8(a, b));
    return vaddq_s32(total, vpaddq_s32(low, high));
}

#include "pieces.h"

static int usable(void)
{
    return 1;
}

const struct kernel KERNEL_NEON = {
    .name = "neon",
    .usable = usable,
    .windows = {NARROW, 2 * NARROW},
    .costs = {1.0f, 1.4f},
    .flip = {{0x80, 0x80}, {0x80, 0x80}},
    .product = product,
    .finish = finish,
    .beside_from = {{12, 7}, {7, 6}},
    .gather = gather,
    .beside = beside,
    .project = project,
    .reset = reset,
    .renew = renew,
    .spread = spread,
};

#endif
