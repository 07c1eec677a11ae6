/* Products by registers narrower than 64 bytes: a piece of each group of lanes after the other.
 *
 * Needs of its kernel: BYTES of a register, its types `bytes` and `ints`, ZERO, LOAD, STORE, a
 * `struct window` with `window_of` and `pick` (`wide`: of the second width), and `add_quads`,
 * which adds products of signed bytes, four at a time. Weights are never -128. */

INLINE void sum(const struct tiles *t, uint32_t block, const uint8_t *x, size_t stride,
                int32_t *sums, int planes, int weights, int wide, size_t piece)
{
    const uint8_t *data = t->data + t->starts[block] + piece;
    const uint32_t *quads = t->quads + (size_t)block * t->windows;
    ints total[MOST_DIGITS][GROUPS];
    int digits = planes + weights - 1;
    for (int d = 0; d < digits; d++)
        for (int g = 0; g < GROUPS; g++)
            total[d][g] = ZERO;
    for (uint32_t n = 0; n < t->windows; n++) {
        if (!quads[n])
            continue;
        struct window low = window_of(x + t->first[n], wide), high = low;
        if (planes > 1)
            high = window_of(x + stride + t->first[n], wide);
        for (uint32_t q = 0; q < quads[n]; q++)
            for (int g = 0; g < GROUPS; g++) {
                bytes place = LOAD(data), weight = LOAD(data + 64);
                bytes one = pick(&low, place, wide), two = one, more = weight;
                total[0][g] = add_quads(total[0][g], one, weight);
                if (weights > 1) {
                    more = LOAD(data + 128);
                    total[1][g] = add_quads(total[1][g], one, more);
                }
                if (planes > 1) {
                    two = pick(&high, place, wide);
                    total[1][g] = add_quads(total[1][g], two, weight);
                }
                if (planes > 1 && weights > 1)
                    total[2][g] = add_quads(total[2][g], two, more);
                data += 64 + 64 * weights;
            }
    }
    for (int d = 0; d < digits; d++)
        for (int g = 0; g < GROUPS; g++)
            STORE(sums + d * BLOCK + g * LANES + piece / QUAD, total[d][g]);
}

static void product(const struct tiles *t, uint32_t block, const uint8_t *x, size_t stride,
                    uint32_t planes, int32_t *sums)
{
    int which = (int)((planes - 1) << 2 | (t->weight_digits - 1) << 1) | (t->width > NARROW);
    for (size_t p = 0; p < 64; p += BYTES)
        switch (which) {
        case 0: sum(t, block, x, stride, sums, 1, 1, 0, p); break;
        case 1: sum(t, block, x, stride, sums, 1, 1, 1, p); break;
        case 2: sum(t, block, x, stride, sums, 1, 2, 0, p); break;
        case 3: sum(t, block, x, stride, sums, 1, 2, 1, p); break;
        case 4: sum(t, block, x, stride, sums, 2, 1, 0, p); break;
        case 5: sum(t, block, x, stride, sums, 2, 1, 1, p); break;
        case 6: sum(t, block, x, stride, sums, 2, 2, 0, p); break;
        default: sum(t, block, x, stride, sums, 2, 2, 1, p); break;
        }
}
