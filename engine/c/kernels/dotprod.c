/* ARM with dot products (Armv8.2 and later): four signed bytes of a row in one instruction. */
#include "../run/layer.h"

#if defined(__aarch64__) && defined(__linux__)

#include <sys/auxv.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

#include "arm.h"

INLINE int32x4_t add_quads(int32x4_t total, uint8x16_t x, uint8x16_t weight)
{
    return vdotq_s32(total, vreinterpretq_s8_u8(x), vreinterpretq_s8_u8(weight));
}

#include "pieces.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static int usable(void)
{
    return (getauxval(AT_HWCAP) >> 20 & 1) != 0; /* HWCAP_ASIMDDP */
}

const struct kernel KERNEL_DOTPROD = {
    .name = "dotprod",
    .usable = usable,
    .windows = {NARROW, 2 * NARROW},
    .costs = {1.0f, 1.4f},
    .flip = {{0x80, 0x80}, {0x80, 0x80}},
    .product = product,
    .finish = finish,
    .beside_from = {{0, 0}, {0, 12}},
    .gather = gather,
    .beside = beside,
    .project = project,
    .reset = reset,
    .renew = renew,
    .spread = spread,
};

#endif
