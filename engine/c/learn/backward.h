/* A step back: gradients become tensors of few bits, and are seen. */
/* Parts of gradients, each where the tensor is: to the nearest. To the left they are saturated
 * first. Magnitudes are below 2**30, so that what is shifted further is 0. */
INLINE vec part(vec v, int32_t shift)
{
    if (shift > 30)
        return V(0);
    if (shift < 0)
        return within(v, -32767, 32767) << -shift;
    return rounded(v, shift);
}

static int32_t wide_part(int64_t v, int32_t shift)
{
    if (shift < 0)
        return (int32_t)((v > 32767 ? 32767 : v < -32767 ? -32767 : v) * (1 << -shift));
    v = shift ? (v + ((int64_t)1 << (shift - 1))) >> shift : v;
    /* beyond 2**30 it is saturated by any tensor, and seen as that */
    return (int32_t)(v > 1 << 30 ? 1 << 30 : v < -(1 << 30) ? -(1 << 30) : v);
}

static int32_t wide_dice(int64_t v, int32_t shift)
{
    int32_t lower = shift >> 1;
    int64_t fallen = v & (((int64_t)1 << shift) - 1);
    int64_t dice = (fallen & (((int64_t)1 << lower) - 1)) << (shift - 2 * lower);
    return wide_part((v >> shift) + ((fallen >> lower) > dice), 0);
}

/* By chance: the upper half of the bits that fall, against the lower half. */
INLINE vec diced(vec v, int32_t shift)
{
    if (shift < 2)
        return part(v, shift);
    if (shift > 30) {
        for (int n = 0; n < LEARN_LANES; n++)
            v[n] = wide_dice(v[n], shift);
        return v;
    }
    int32_t lower = shift >> 1;
    vec fallen = v & ((1 << shift) - 1);
    vec dice = (fallen & ((1 << lower) - 1)) << (shift - 2 * lower);
    return (v >> shift) - ((fallen >> lower) > dice);
}

/* Gradients of one sum of a unit, to be multiplied: where they are kept, and side by side. */
INLINE void put(const struct learn_layer *k, uint32_t sum, uint32_t unit, uint32_t step,
                uint32_t lane, vec v)
{
    size_t row = (size_t)sum * k->units + unit;
    narrowed(k->gates + place(k, row, step, lane), v);
    narrowed(k->now_d + row * k->lanes + lane, v);
}

INLINE void add_bias(const struct learn_layer *k, uint32_t sum, uint32_t unit, uint32_t at, vec v)
{
    int64_t total = 0;
    for (int n = 0; n < LEARN_LANES; n++)
        total += v[n];
    k->bias_sums[(size_t)sum * k->units + unit] += total * ((int64_t)1 << k->lift[at]);
}

/* Saturated, and seen. */
INLINE vec settled(vec v, int32_t bits, uint32_t watch, vec *seen, vec *lost)
{
    int32_t most = (1 << (bits - 1)) - 1;
    if (watch) {
        vec size = chosen(v < V(0), -v, v);
        *seen |= size;
        *lost -= size > V(most);
    }
    return within(v, -most, most);
}

struct watched {
    vec seen, lost;
};

INLINE void note(const struct learn_layer *k, const struct learn_tensor *of, uint32_t at,
                 const struct watched *w)
{
    if (!k->watch)
        return;
    uint64_t seen = 0, lost = 0;
    for (int n = 0; n < LEARN_LANES; n++) {
        seen |= (uint32_t)w->seen[n];
        lost += (uint32_t)w->lost[n];
    }
    if (seen & ~__atomic_load_n(&of->seen[at], __ATOMIC_RELAXED))
        __atomic_fetch_or(&of->seen[at], seen, __ATOMIC_RELAXED);
    if (lost)
        __atomic_fetch_add(of->clipped, lost, __ATOMIC_RELAXED);
}

/* Sums of transposed products, and what comes from above, of 16 lanes of an element. */
INLINE vec from_sums(const int64_t *sums, int wide, size_t at, int32_t shift, int by_chance)
{
    if (!wide) {
        vec v = read((const int32_t *)sums + at);
        return by_chance ? diced(v, shift) : part(v, shift);
    }
    vec found;
    for (int n = 0; n < LEARN_LANES; n++) {
        int64_t v = sums[at + (size_t)n];
        found[n] = by_chance && shift >= 2 ? wide_dice(v, shift) : wide_part(v, shift);
    }
    return found;
}

/* With a projection: gradients of the outputs, settled. */
static void outputs(const struct learn_layer *k, uint32_t step, uint32_t first, uint32_t end)
{
    uint32_t at = k->steps - 1 - step;
    const struct learn_tensor *of = &k->of_r;
    struct watched w = {V(0), V(0)};
    for (uint32_t row = first; row < end; row++)
        for (uint32_t lane = 0; lane < k->lanes; lane += LEARN_LANES) {
            vec there = begun(k, step, lane);
            vec up = read(k->up + ((size_t)row * k->steps + step) * k->lanes + lane) & there;
            vec v = diced(up, of->shift[0][at]);
            if (at)
                v += from_sums(k->recurrent, (int)k->hh.wide, (size_t)row * k->lanes + lane,
                               of->shift[1][at], 1) & there;
            v = settled(v, of->bits, k->watch, &w.seen, &w.lost);
            narrowed(k->dr + place(k, row, step, lane), v);
            narrowed(k->now_dr + (size_t)row * k->lanes + lane, v);
        }
    note(k, of, at, &w);
}

INLINE vec hidden_gradient(const struct learn_layer *k, uint32_t u, uint32_t step, uint32_t lane,
                           vec there, struct watched *w)
{
    uint32_t at = k->steps - 1 - step;
    size_t here = (size_t)u * k->lanes + lane;
    const struct learn_tensor *of = &k->of_h;
    vec v;
    if (k->hr.values) {
        v = from_sums(k->through, (int)k->hr.wide, here, of->shift[0][at], 0);
    } else {
        v = part(read(k->up + ((size_t)u * k->steps + step) * k->lanes + lane),
                 of->shift[0][at]);
        if (at)
            v += from_sums(k->recurrent, (int)k->hh.wide, here, of->shift[1][at], 0);
    }
    return settled(v & there, of->bits, k->watch, &w->seen, &w->lost);
}

INLINE vec slope(vec gate, int32_t a)
{
    return rounded(gate * ((1 << a) - gate), 2 * a - LEARN_FACTOR_BITS);
}

INLINE vec flatness(vec gate, int32_t a)
{
    return rounded((1 << (2 * a)) - gate * gate, 2 * a - LEARN_FACTOR_BITS);
}

INLINE vec forget_factor(vec f, vec c, int32_t a, int32_t p, int32_t state_bits)
{
    vec s = slope(f, a), found;
    if (LEARN_FACTOR_BITS - 2 + state_bits < 32) {
        found = rounded(s * c, p);
    } else {
        for (int n = 0; n < LEARN_LANES; n++)
            found[n] = (int32_t)clip_wide(round_wide((int64_t)s[n] * c[n], p), 1 << 20);
    }
    return within(found, -32767, 32767);
}

static void backward(const struct learn_layer *k, uint32_t step, uint32_t first, uint32_t end)
{
    int32_t a = k->gate_frac, p = k->state_frac;
    uint32_t at = k->steps - 1 - step;
    struct watched wh = {V(0), V(0)}, wc = wh, wd = wh;
    const int32_t by_c = k->of_d.shift[0][at], by_h = k->of_d.shift[1][at];
    for (uint32_t u = first; u < end; u++) {
        vec bias[LEARN_GATES] = {V(0), V(0), V(0), V(0)};
        for (uint32_t lane = 0; lane < k->lanes; lane += LEARN_LANES) {
            vec there = begun(k, step, lane), gate[LEARN_GATES], d[LEARN_GATES];
            for (size_t g = 0; g < LEARN_GATES; g++)
                gate[g] = widened(k->gates + place(k, g * k->units + u, step, lane));
            vec squashed = widened(k->squashed + place(k, u, step, lane));
            vec before = read(k->c + place(k, u, step, lane));
            vec dh = hidden_gradient(k, u, step, lane, there, &wh);
            vec of_c = rounded(flatness(squashed, a) * gate[3], a);
            int32_t *carried = k->carried + (size_t)u * k->lanes + lane;
            vec dc = part(dh * of_c, k->of_c.shift[0][at]);
            if (at)
                dc += part(read(carried) & there, k->of_c.shift[1][at]);
            dc = settled(dc, k->of_c.bits, k->watch, &wc.seen, &wc.lost);
            d[0] = diced(dc * rounded(slope(gate[0], a) * gate[2], a), by_c);
            d[1] = diced(dc * forget_factor(gate[1], before, a, p, k->state_bits), by_c);
            d[2] = diced(dc * rounded(flatness(gate[2], a) * gate[0], a), by_c);
            d[3] = diced(dh * rounded(slope(gate[3], a) * squashed, a), by_h);
            write(carried, dc * gate[1]);
            for (uint32_t g = 0; g < LEARN_GATES; g++) {
                vec v = settled(d[g], k->of_d.bits, k->watch, &wd.seen, &wd.lost);
                put(k, g, u, step, lane, v);
                bias[g] += v;
            }
        }
        for (uint32_t g = 0; g < LEARN_GATES; g++)
            add_bias(k, g, u, at, bias[g]);
    }
    note(k, &k->of_h, at, &wh);
    note(k, &k->of_c, at, &wc);
    note(k, &k->of_d, at, &wd);
}
