/* What kernels of screens share: a block's sums to bounds, in 64 bits. */
#include "../run/screen.h"

/* Sums of digits 0 to 3 to bounds; which of them are at least `tau`. */
static inline __attribute__((always_inline)) uint32_t bounds_of(const struct screen *s,
                                                                const struct query *q,
                                                                uint32_t block, int64_t tau,
                                                                const int32_t *sums,
                                                                int64_t *bounds)
{
    const uint32_t *first = s->first + (size_t)block * SCREEN_BLOCK;
    int64_t reach = q->reaches[0] << s->lift;
    uint32_t which = 0;
    for (int n = 0; n < SCREEN_BLOCK; n++) {
        int64_t scale = first[n] >> 12 & 255, norm = first[n] >> 20 & 255;
        int64_t sum = scale * (2 * sums[n] - 3 * q->sum) * ((int64_t)1 << q->shift) + norm * reach;
        int64_t prior = (int64_t)screen_prior(first[n]) *
                        ((int64_t)1 << (s->prior_shift + SCREEN_FRACTION));
        bounds[n] = sum * ((int64_t)1 << (first[n] >> 28)) + prior;
        which |= (uint32_t)(bounds[n] >= tau) << n;
    }
    return which;
}
