/* A GRU's step forward and back; of gru0 in two parts, as rows of n read r * h of all units. */
/* A product shifted to the right, whose magnitude takes at most so many bits. */
INLINE vec times(vec one, vec two, int32_t bits, int32_t shift)
{
    vec found;
    if (bits < 31)
        return rounded(one * two, shift);
    for (int n = 0; n < LEARN_LANES; n++)
        found[n] = (int32_t)round_wide((int64_t)one[n] * two[n], shift);
    return found;
}

/* The kept and the hidden state after a step. */
INLINE void mix(const struct learn_layer *k, uint32_t u, uint32_t step, uint32_t lane, vec z, vec n)
{
    int32_t a = k->gate_frac, top = (1 << a) - 1;
    vec there = begun(k, step, lane), fine = n * (1 << LEARN_GUARD), now;
    int32_t *c = k->c + place(k, u, step, lane);
    vec apart = read(c) - fine;
    if (2 * a + LEARN_GUARD + 2 < 32) {
        now = rounded(z * apart + fine * (1 << a), a);
    } else {
        for (int i = 0; i < LEARN_LANES; i++) {
            int64_t sum = (int64_t)z[i] * apart[i] + (int64_t)fine[i] * ((int64_t)1 << a);
            now[i] = (int32_t)round_wide(sum, a);
        }
    }
    now &= there;
    vec h = within(rounded(now, LEARN_GUARD), ~top, top);
    write(c + k->lanes, now);
    narrowed(k->gates + place(k, (size_t)2 * k->units + u, step, lane), n);
    narrowed(k->r + place(k, u, step + 1, lane), h);
    narrowed(outputs_at(k, step + 1) + (size_t)u * k->lanes + lane, h);
}

/* Pre-activations of r and z. */
INLINE vec sigmoid_of(const struct learn_layer *k, int gate, uint32_t u, uint32_t step,
                      uint32_t lane)
{
    size_t row = (size_t)gate * k->units + u;
    struct product r = {&k->hh, row, outputs_at(k, step) + lane};
    vec pre = preactivation(k, gate, u, of_frames(k, row, step, lane), r);
    vec found = LOOK_UP(k->sigmoid, pre + (1 << (k->state_bits - 1)));
    narrowed(k->gates + place(k, row, step, lane), found);
    return found;
}

/* Of gru, whose parts of the candidate have a bias each. */
INLINE vec candidate_of(const struct learn_layer *k, uint32_t u, uint32_t step, uint32_t lane,
                        vec r)
{
    int32_t a = k->gate_frac, middle = 1 << (k->state_bits - 1), most = middle - 1;
    struct product none = {0}, h = {&k->hn, u, outputs_at(k, step) + lane};
    vec nx = preactivation(k, 2, u, of_frames(k, (size_t)2 * k->units + u, step, lane), none);
    vec nh = preactivation(k, 3, u, h, none);
    write(k->nh + place(k, u, step, lane), nh);
    vec pre = within(nx + times(r, nh, a + k->state_bits - 1, a), ~most, most);
    return LOOK_UP(k->tanh, pre + middle);
}

static void gru(const struct learn_layer *k, uint32_t step, uint32_t first, uint32_t end)
{
    int32_t a = k->gate_frac;
    for (uint32_t u = first; u < end; u++)
        for (uint32_t lane = 0; lane < k->lanes; lane += LEARN_LANES) {
            vec r = sigmoid_of(k, 0, u, step, lane), z = sigmoid_of(k, 1, u, step, lane);
            if (k->cell == LEARN_GRU) {
                mix(k, u, step, lane, z, candidate_of(k, u, step, lane, r));
                continue;
            }
            vec kept = read(k->c + place(k, u, step, lane));
            vec reset = times(r, kept, 2 * a + LEARN_GUARD, a + LEARN_GUARD);
            narrowed(k->h + place(k, u, step, lane), reset);
            narrowed(k->now_h + (size_t)u * k->lanes + lane, reset);
        }
}

/* Of gru0, from r * h of all units on. */
static void candidate(const struct learn_layer *k, uint32_t step, uint32_t first, uint32_t end)
{
    for (uint32_t u = first; u < end; u++)
        for (uint32_t lane = 0; lane < k->lanes; lane += LEARN_LANES) {
            size_t row = (size_t)2 * k->units + u;
            struct product h = {&k->hn, u, k->now_h + lane};
            vec pre = preactivation(k, 2, u, of_frames(k, row, step, lane), h);
            vec z = widened(k->gates + place(k, (size_t)k->units + u, step, lane));
            mix(k, u, step, lane, z, LOOK_UP(k->tanh, pre + (1 << (k->state_bits - 1))));
        }
}

/* Four parts may sum to more than 31 bits. */
INLINE vec settled_long(longs v, int32_t bits, uint32_t watch, vec *seen, vec *lost)
{
    longs most = (longs){0} + (((int64_t)1 << (bits - 1)) - 1), large = v > most, small = v < -most;
    if (watch) {
        longs size = (v ^ (v >> 63)) - (v >> 63);
        *seen |= __builtin_convertvector(size, vec);
        *lost -= __builtin_convertvector(large | small, vec);
    }
    v = (large & most) | (small & -most) | (~(large | small) & v);
    return __builtin_convertvector(v, vec);
}

/* Of the kept state: of the output, of rows that read it a step later, and what was carried. */
INLINE vec kept_gradient(const struct learn_layer *k, uint32_t u, uint32_t step, uint32_t lane,
                         struct watched *w)
{
    uint32_t at = k->steps - 1 - step;
    size_t here = (size_t)u * k->lanes + lane;
    const struct learn_tensor *of = &k->of_h;
    longs v = longer(part(read(k->up + ((size_t)u * k->steps + step) * k->lanes + lane),
                          of->shift[0][at]));
    if (at) {
        v += longer(from_sums(k->recurrent, (int)k->hh.wide, here, of->shift[1][at], 0));
        v += longer(part(read(k->carried + here), of->shift[2][at]));
        if (k->cell == LEARN_GRU0)
            v += longer(part(read(k->reset + here), of->shift[3][at]));
    }
    v &= longer(begun(k, step, lane));
    return settled_long(v, of->bits, k->watch, &w->seen, &w->lost);
}

/* Of r and nh, of gru. */
INLINE void through_reset(const struct learn_layer *k, uint32_t u, uint32_t step, uint32_t lane,
                          vec of_n, vec *of_r, vec *of_nh)
{
    int32_t a = k->gate_frac;
    vec r = widened(k->gates + place(k, u, step, lane));
    vec nh = read(k->nh + place(k, u, step, lane));
    vec reset = forget_factor(r, nh, a, k->state_frac, k->state_bits);
    *of_r = rounded(of_n * reset, LEARN_FACTOR_BITS);
    *of_nh = rounded(of_n * r, a);
}

static void gru_back(const struct learn_layer *k, uint32_t step, uint32_t first, uint32_t end)
{
    int32_t a = k->gate_frac, by = k->of_d.shift[0][k->steps - 1 - step];
    uint32_t at = k->steps - 1 - step, begin = k->cell == LEARN_GRU0;
    struct watched wh = {V(0), V(0)}, wd = wh;
    for (uint32_t u = first; u < end; u++) {
        vec bias[LEARN_GATES] = {V(0), V(0), V(0), V(0)};
        for (uint32_t lane = 0; lane < k->lanes; lane += LEARN_LANES) {
            vec z = widened(k->gates + place(k, (size_t)k->units + u, step, lane));
            vec n = widened(k->gates + place(k, (size_t)2 * k->units + u, step, lane));
            vec apart = read(k->c + place(k, u, step, lane)) - n * (1 << LEARN_GUARD);
            vec dk = kept_gradient(k, u, step, lane, &wh), of[LEARN_GATES];
            of[2] = rounded(flatness(n, a) * ((1 << a) - z), a);
            of[1] = rounded(slope(z, a) * apart, a + LEARN_GUARD);
            if (!begin)
                through_reset(k, u, step, lane, of[2], &of[0], &of[3]);
            write(k->carried + (size_t)u * k->lanes + lane, dk * z);
            for (uint32_t s = begin; s < k->sums; s++) {
                vec d = diced(dk * of[s], by);
                d = settled(d, k->of_d.bits, k->watch, &wd.seen, &wd.lost);
                put(k, s, u, step, lane, d);
                bias[s] += d;
            }
        }
        for (uint32_t s = begin; s < k->sums; s++)
            add_bias(k, s, u, at, bias[s]);
    }
    note(k, &k->of_h, at, &wh);
    note(k, &k->of_d, at, &wd);
}

/* Of gru0: from gradients of r * h to those of r, and what they carry. */
static void reset_back(const struct learn_layer *k, uint32_t step, uint32_t first, uint32_t end)
{
    int32_t a = k->gate_frac;
    uint32_t at = k->steps - 1 - step;
    struct watched wv = {V(0), V(0)}, wd = wv;
    for (uint32_t u = first; u < end; u++) {
        vec bias = V(0);
        for (uint32_t lane = 0; lane < k->lanes; lane += LEARN_LANES) {
            size_t here = (size_t)u * k->lanes + lane;
            vec r = widened(k->gates + place(k, u, step, lane));
            vec v = from_sums(k->through, (int)k->hn.wide, here, k->of_v.shift[0][at], 0);
            vec dv = settled(v, k->of_v.bits, k->watch, &wv.seen, &wv.lost);
            vec of_r = rounded(slope(r, a) * read(k->c + place(k, u, step, lane)), a + LEARN_GUARD);
            vec d = diced(dv * of_r, k->of_d.shift[1][at]);
            d = settled(d, k->of_d.bits, k->watch, &wd.seen, &wd.lost);
            write(k->reset + here, dv * r);
            put(k, 0, u, step, lane, d);
            bias += d;
        }
        add_bias(k, 0, u, at, bias);
    }
    note(k, &k->of_v, at, &wv);
    note(k, &k->of_d, at, &wd);
}
