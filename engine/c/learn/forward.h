/* A step forward, and what it leaves for the way back. */
/* The sum of some entries, of an even number; `from` is a lane of element 0. */
#ifndef PAIRS
INLINE vec pairs(const int16_t *values, const uint32_t *places, uint32_t count,
                 const int16_t *from, size_t stride, vec total)
{
    for (uint32_t n = 0; n < count; n++)
        total += widened(from + places[n] * stride) * (int32_t)values[n];
    return total;
}
#define PAIRS pairs
#endif

INLINE vec row_sum(const struct learn_matrix *m, size_t row, const int16_t *from, size_t stride,
                   vec total)
{
    size_t at = row * m->entries;
    return PAIRS(m->shifted + at, m->columns_of + at, m->entries, from, stride, total);
}

#define HALF_BITS 8
#define HALVES_SUMMED 256 /* 2**8 * 2**7 * 2**15 fits 32 bits */

INLINE longs longer(vec v)
{
    return __builtin_convertvector(v, longs);
}

/* The sum of products of words, by both halves of the weights. */
INLINE longs wide_pairs(const int16_t *high, const int16_t *low, const uint32_t *places,
                        uint32_t count, const int16_t *from, size_t stride)
{
    longs total = {0};
    for (uint32_t n = 0; n < count; n += HALVES_SUMMED) {
        uint32_t some = count - n < HALVES_SUMMED ? count - n : HALVES_SUMMED;
        vec one = PAIRS(high + n, places + n, some, from, stride, V(0));
        vec two = PAIRS(low + n, places + n, some, from, stride, V(0));
        total += longer(one) * (1 << HALF_BITS) + longer(two);
    }
    return total;
}

INLINE longs wide_sums(const struct learn_matrix *m, size_t row, int32_t left,
                       const int16_t *from, size_t stride)
{
    size_t at = row * m->entries, other = (size_t)m->rows * m->entries;
    return wide_pairs(m->halves + at, m->halves + other + at, m->columns_of + at, m->entries, from,
                      stride) * ((int64_t)1 << left);
}

static int64_t round_wide(int64_t v, int32_t shift)
{
    return shift > 0 ? (v + ((int64_t)1 << (shift - 1))) >> shift : v * ((int64_t)1 << -shift);
}

static int64_t clip_wide(int64_t v, int64_t most)
{
    return v > most ? most : v < ~most ? ~most : v;
}

/* Outputs before a step. */
INLINE int16_t *outputs_at(const struct learn_layer *k, uint32_t step)
{
    return k->now_r + (step & 1) * (size_t)k->outputs * k->lanes;
}

static void arrange(const struct learn_layer *k, uint32_t step, uint32_t first, uint32_t end)
{
    size_t size = k->lanes * sizeof *k->x;
    (void)step;
    for (uint32_t n = first; n < end; n++)
        for (uint32_t t = 0; t < k->steps; t++)
            memcpy(k->now_x + ((size_t)t * k->inputs + n) * k->lanes, k->x + place(k, n, t, 0), size);
}

/* A row of a matrix, and the vectors that it is multiplied by. */
struct product {
    const struct learn_matrix *m;
    size_t row;
    const int16_t *from;
};

INLINE struct product of_frames(const struct learn_layer *k, size_t row, uint32_t step,
                                uint32_t lane)
{
    return (struct product){&k->ih, row, k->now_x + (size_t)step * k->inputs * k->lanes + lane};
}

INLINE int32_t left_of(const struct product *p)
{
    return p->m->left[p->row / (p->m->rows / p->m->parts)];
}

/* Of a unit, from the sum of one product or of two (two.m NULL). */
INLINE vec preactivation(const struct learn_layer *k, int sum, uint32_t unit, struct product one,
                         struct product two)
{
    size_t stride = k->lanes;
    int32_t most = (1 << (k->state_bits - 1)) - 1;
    int32_t bias = k->bias[(size_t)sum * k->units + unit];
    if (k->ih.shifted) {
        vec total = row_sum(one.m, one.row, one.from, stride, V(0));
        if (two.m)
            total = row_sum(two.m, two.row, two.from, stride, total);
        return within(rounded(total, k->right[sum]) + bias, ~most, most);
    }
    longs total = wide_sums(one.m, one.row, left_of(&one), one.from, stride);
    vec found;
    if (two.m)
        total += wide_sums(two.m, two.row, left_of(&two), two.from, stride);
    for (int n = 0; n < LEARN_LANES; n++)
        found[n] = (int32_t)clip_wide(round_wide(total[n], k->right[sum]) + bias, most);
    return found;
}

static void forward(const struct learn_layer *k, uint32_t step, uint32_t first, uint32_t end)
{
    int32_t a = k->gate_frac, p = k->state_frac, middle = 1 << (k->state_bits - 1);
    int32_t most = middle - 1, top = (1 << a) - 1;
    for (uint32_t u = first; u < end; u++)
        for (uint32_t lane = 0; lane < k->lanes; lane += LEARN_LANES) {
            vec gate[LEARN_GATES], there = begun(k, step, lane);
            for (int g = 0; g < LEARN_GATES; g++) {
                size_t row = (size_t)g * k->units + u;
                struct product r = {&k->hh, row, outputs_at(k, step) + lane};
                vec pre = preactivation(k, g, u, of_frames(k, row, step, lane), r) + middle;
                gate[g] = LOOK_UP(g == 2 ? k->tanh : k->sigmoid, pre);
                narrowed(k->gates + place(k, (size_t)g * k->units + u, step, lane), gate[g]);
            }
            int32_t *c = k->c + place(k, u, step, lane);
            vec old = read(c), now;
            if (a + k->state_bits + a - p < 32) {
                now = ((gate[1] * old) << (a - p)) + gate[0] * gate[2];
                now = within(rounded(now, 2 * a - p), ~most, most);
            } else {
                for (int n = 0; n < LEARN_LANES; n++) {
                    int64_t sum = (int64_t)gate[1][n] * old[n] * ((int64_t)1 << (a - p));
                    sum += (int64_t)gate[0][n] * gate[2][n];
                    now[n] = (int32_t)clip_wide(round_wide(sum, 2 * a - p), most);
                }
            }
            vec squashed = LOOK_UP(k->tanh, now + middle);
            vec h = within(rounded(gate[3] * squashed, a), ~top, top) & there;
            write(c + k->lanes, now & there);
            narrowed(k->squashed + place(k, u, step, lane), squashed);
            if (k->hr.values) {
                narrowed(k->h + place(k, u, step, lane), h);
                narrowed(k->now_h + (size_t)u * k->lanes + lane, h);
            } else {
                narrowed(k->r + place(k, u, step + 1, lane), h);
                narrowed(outputs_at(k, step + 1) + (size_t)u * k->lanes + lane, h);
            }
        }
}

static void project(const struct learn_layer *k, uint32_t step, uint32_t first, uint32_t end)
{
    int32_t most = (1 << (k->output_bits - 1)) - 1;
    for (uint32_t row = first; row < end; row++)
        for (uint32_t lane = 0; lane < k->lanes; lane += LEARN_LANES) {
            vec found;
            if (k->hr.shifted) {
                found = row_sum(&k->hr, row, k->now_h + lane, k->lanes, V(0));
                found = within(rounded(found, k->project_right), ~most, most);
            } else {
                longs total = wide_sums(&k->hr, row, 0, k->now_h + lane, k->lanes);
                for (int n = 0; n < LEARN_LANES; n++)
                    found[n] = (int32_t)clip_wide(round_wide(total[n], k->project_right), most);
            }
            narrowed(k->r + place(k, row, step + 1, lane), found);
            narrowed(outputs_at(k, step + 1) + (size_t)row * k->lanes + lane, found);
        }
}
