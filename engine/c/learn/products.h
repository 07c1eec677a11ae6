/* Products with gradients: transposed, and at the places of kept weights. */
/* On the matrix as it lies: every bank has columns of its own, so that threads never meet. */
static void wide_transposed(const struct learn_layer *k, const struct learn_matrix *m,
                            const int16_t *d, int64_t *sums, uint32_t first, uint32_t end)
{
    uint32_t last = (m->columns + m->bank_width - 1) / m->bank_width; /* others are padding */
    uint32_t gate_rows = m->rows / m->parts, low, high;
    end = end < last ? end : last;
    low = first * m->bank_width;
    high = end < last ? end * m->bank_width : m->columns;
    if (low >= high)
        return;
    if (!m->adds)
        memset(sums + (size_t)low * k->lanes, 0, (size_t)(high - low) * k->lanes * sizeof *sums);
    for (uint32_t row = 0; row < m->rows; row++) {
        const int16_t *of = d + (size_t)row * k->lanes;
        int64_t scale = m->back ? (int64_t)1 << m->back[row / gate_rows] : 1;
        for (size_t n = (size_t)row * m->entries, stop = n + m->stored; n < stop; n += m->banks)
            for (size_t b = n + first; b < n + end; b++) {
                int64_t *to = sums + (size_t)m->columns_of[b] * k->lanes;
                int64_t value = m->values[b] * scale;
                for (uint32_t lane = 0; lane < k->lanes; lane++)
                    to[lane] += value * of[lane];
            }
    }
}

static void transposed(const struct learn_layer *k, const struct learn_matrix *m, const int16_t *d,
                       int64_t *sums, uint32_t first, uint32_t end)
{
    int32_t *to = (int32_t *)sums;
    size_t other = m->starts[m->columns];
    if (m->wide && !m->turned) {
        wide_transposed(k, m, d, sums, first, end);
        return;
    }
    for (uint32_t n = first; n < end; n++)
        for (uint32_t lane = 0; lane < k->lanes; lane += LEARN_LANES) {
            uint32_t at = m->starts[n], count = m->starts[n + 1] - at;
            if (m->wide) {
                const int16_t *high = m->turned + at;
                int64_t *sum = sums + (size_t)n * k->lanes + lane;
                longs found = wide_pairs(high, high + other, m->rows_of + at, count, d + lane,
                                         k->lanes);
                for (int i = 0; i < LEARN_LANES; i++)
                    sum[i] = (m->adds ? sum[i] : 0) + found[i];
                continue;
            }
            int32_t *sum = to + (size_t)n * k->lanes + lane;
            vec begin = m->adds ? read(sum) : V(0);
            write(sum, PAIRS(m->turned + at, m->rows_of + at, count, d + lane, k->lanes, begin));
        }
}

/* Gradients of the frames, in one exponent. */
static void frames(const struct learn_layer *k, uint32_t step, uint32_t first, uint32_t end)
{
    uint32_t at = k->steps - 1 - step;
    struct watched w = {V(0), V(0)};
    for (uint32_t n = first; n < end; n++)
        for (uint32_t lane = 0; lane < k->lanes; lane += LEARN_LANES) {
            vec v = from_sums(k->below, (int)k->ih.wide, (size_t)n * k->lanes + lane,
                              k->of_x.shift[0][at], 0);
            v = settled(v, k->of_x.bits, k->watch, &w.seen, &w.lost);
            write(k->down + ((size_t)n * k->steps + step) * k->lanes + lane, v);
        }
    note(k, &k->of_x, 0, &w);
}

/* Narrow: products of 15 and 8 bits, up to DOTTED of them. */
#ifndef DOT
static int64_t dot(const int16_t *a, const int16_t *b, size_t count)
{
    int32_t sum = 0;
    for (size_t n = 0; n < count; n++)
        sum += (int32_t)a[n] * b[n];
    return sum;
}
#define DOT dot
#endif

#define DOTTED 1024  /* 2**10 * 2**14 * 2**7 fits 32 bits */
#define LIFTED 8     /* exponents that gradients of 8 bits reach in 16 */
#define MOST_SPANS 64

/* Steps side by side that are summed without a shift between them. */
struct span {
    uint32_t from, count, left;
};

static uint32_t spans_of(const struct learn_layer *k, const int32_t *lift, uint32_t step,
                         struct span *found)
{
    uint32_t each = DOTTED / k->lanes, n = 0;
    for (uint32_t to; step < k->steps && n < MOST_SPANS; step = to) {
        uint32_t band = (uint32_t)lift[k->steps - 1 - step] / LIFTED;
        for (to = step + 1; to < k->steps && to - step < each; to++)
            if ((uint32_t)lift[k->steps - 1 - to] / LIFTED != band)
                break;
        found[n++] = (struct span){step, to - step, band * LIFTED};
    }
    return n;
}

/* Gradients of 8 bits of some rows, each step shifted inside its band of exponents. */
static void lifted(const struct learn_layer *k, int16_t *d, const int32_t *lift, uint32_t first,
                   uint32_t end)
{
    for (uint32_t row = first; row < end; row++)
        for (uint32_t t = 0; t < k->steps; t++) {
            int32_t left = lift[k->steps - 1 - t] % LIFTED;
            int16_t *at = d + place(k, row, t, 0);
            for (uint32_t n = 0; n < k->lanes; n += LEARN_LANES)
                narrowed(at + n, widened(at + n) << left);
        }
}

static void narrow_kept(const struct learn_layer *k, const struct learn_matrix *m,
                        const int16_t *d, const int16_t *x, const int32_t *lift, uint32_t first,
                        uint32_t end)
{
    size_t stride = (size_t)k->slots * k->lanes;
    struct span spans[MOST_SPANS];
    for (uint32_t step = 0, count; step < k->steps;
         step = spans[count - 1].from + spans[count - 1].count) {
        count = spans_of(k, lift, step, spans);
        for (uint32_t row = first; row < end; row++)
            for (size_t n = (size_t)row * m->entries, stop = n + m->stored; n < stop; n++) {
                const int16_t *one = d + row * stride, *two = x + m->columns_of[n] * stride;
                int64_t sum = 0;
                for (uint32_t s = 0; s < count; s++) {
                    size_t at = (size_t)spans[s].from * k->lanes;
                    sum += DOT(one + at, two + at, (size_t)spans[s].count * k->lanes) *
                           ((int64_t)1 << spans[s].left);
                }
                m->sums[n] += sum;
            }
    }
}

/* Wide: of words, each step shifted to where all are summed. */
#ifndef WIDE_DOT
static int64_t wide_dot(const int16_t *one, const int16_t *two, uint32_t steps, uint32_t lanes,
                        const int32_t *lift)
{
    int64_t sum = 0;
    for (uint32_t t = 0; t < steps; t++) {
        int64_t each = 0;
        for (uint32_t lane = 0; lane < lanes; lane++, one++, two++)
            each += (int64_t)*one * *two;
        sum += each * ((int64_t)1 << lift[steps - 1 - t]);
    }
    return sum;
}
#define WIDE_DOT wide_dot
#endif

static void wide_kept(const struct learn_layer *k, const struct learn_matrix *m, const int16_t *d,
                      const int16_t *x, const int32_t *lift, uint32_t first, uint32_t end)
{
    size_t stride = (size_t)k->slots * k->lanes;
    for (uint32_t row = first; row < end; row++)
        for (size_t n = (size_t)row * m->entries, stop = n + m->stored; n < stop; n++) {
            const int16_t *one = d + row * stride, *two = x + m->columns_of[n] * stride;
            m->sums[n] += WIDE_DOT(one, two, k->steps, k->lanes, lift);
        }
}

static void kept(const struct learn_layer *k, const struct learn_matrix *m, const int16_t *d,
                 const int16_t *x, const int32_t *lift, uint32_t first, uint32_t end)
{
    (m->wide ? wide_kept : narrow_kept)(k, m, d, x, lift, first, end);
}
