#include "screen.h"

#include <stdlib.h>
#include <string.h>

#include "../kernels/screens.h"
#include "layer.h"

extern const struct screener SCREENER_AVX512, SCREENER_AVX2, SCREENER_NEON;

#define DIGIT_BITS 8
#define MOST_DIGIT 127
#define PROOF 256 /* a margin of 1 */

/* Sums of a block in plain C. */
static uint32_t plain_first(const struct screen *s, const struct query *q, uint32_t block,
                            int64_t tau, int64_t *bounds)
{
    const uint8_t *plane = s->planes + (size_t)block * s->groups * 64;
    int32_t sums[SCREEN_BLOCK] = {0};
    for (uint32_t g = 0; g < s->groups; g++)
        for (int n = 0; n < 64; n++)
            for (int of = 0; of < 4; of++)
                sums[n / 4] += (plane[g * 64 + n] >> 2 * of & 3) *
                               q->digits[g * SCREEN_GROUP + 4 * of + n % 4];
    return bounds_of(s, q, block, tau, sums, bounds);
}

static int32_t plain_second(const struct screen *s, const struct query *q, uint32_t row)
{
    const int8_t *at = s->middles + (size_t)row * s->bytes;
    int32_t total = 0;
    for (uint32_t n = 0; n < s->bytes; n++)
        total += at[n] * q->digits[n];
    return total;
}

static int64_t plain_exact(const struct screen *s, const struct query *q, uint32_t row)
{
    const int16_t *w = s->weight + (size_t)row * s->words;
    int64_t high = 0, low = 0;
    for (uint32_t n = 0; n < s->words; n++) {
        high += w[n] * q->high[n];
        low += w[n] * q->low[n];
    }
    return 256 * high + low;
}

static const struct screener PLAIN = {
    .name = "plain", .first = plain_first, .second = plain_second, .exact = plain_exact};

static const struct screener *const SCREENERS[] = {
#if defined(__x86_64__) && defined(__GNUC__)
    &SCREENER_AVX512,
    &SCREENER_AVX2,
#endif
#if defined(__aarch64__)
    &SCREENER_NEON,
#endif
    NULL,
};

/* That of a layer's kernel; NEON's serves processors with dot products too. */
static const struct screener *screener_of(const char *kernel)
{
    if (!strcmp(kernel, "dotprod"))
        kernel = "neon";
    for (const struct screener *const *s = SCREENERS; *s; s++)
        if (!strcmp(kernel, (*s)->name))
            return *s;
    return &PLAIN;
}

static void planes_lay(struct screen *s, const struct file_head *head, size_t row)
{
    struct cells_of_row of = screen_cells(head->screen.second[row]);
    const int16_t *weight = head->screen.weight + row * head->inputs;
    uint8_t *at = s->planes + row / SCREEN_BLOCK * s->groups * 64 + row % SCREEN_BLOCK * 4;
    for (uint32_t column = 0; column < head->inputs; column++) {
        int digit = (screen_first(of, weight[column]) + 3) / 2;
        at[column / SCREEN_GROUP * 64 + column % 4] |=
            (uint8_t)(digit << 2 * (column % SCREEN_GROUP / 4));
        s->middles[row * s->bytes + column] = (int8_t)screen_second(of, weight[column]);
    }
    memcpy(s->weight + row * s->words, weight, head->inputs * sizeof *s->weight);
}

static void blocks_lay(struct screen *s, const struct file_screen *of)
{
    for (uint32_t n = 0; n < s->blocks; n++) {
        s->far[n] = (int64_t)(int16_t)(of->blocks[n] & 0xffff) * ((int64_t)1 << of->far_shift);
        s->slopes[2 * n] = (int64_t)(of->blocks[n] >> 24) << of->norm_shift;
        s->slopes[2 * n + 1] = (int64_t)(of->blocks[n] >> 16 & 255) << of->norm_shift;
    }
}

static void *cleared(size_t size)
{
    void *to = aligned(size);
    return to ? memset(to, 0, size) : NULL;
}

static int room(struct screen *s)
{
    size_t rows = (size_t)s->blocks * SCREEN_BLOCK;
    s->planes = cleared((size_t)s->blocks * s->groups * 64);
    s->middles = cleared(rows * s->bytes);
    s->weight = cleared(rows * s->words * sizeof *s->weight);
    s->first = cleared(rows * sizeof *s->first);
    s->second = cleared(rows * sizeof *s->second);
    s->far = cleared(s->blocks * sizeof *s->far);
    s->slopes = cleared(2 * s->blocks * sizeof *s->slopes);
    return s->planes && s->middles && s->weight && s->first && s->second && s->far && s->slopes;
}

static void sizes(struct screen *s, int32_t bits)
{
    uint64_t two = (2 * (uint64_t)s->inputs + 7) / 8;
    uint64_t three = (3 * (uint64_t)s->inputs + 7) / 8;
    uint64_t rest = ((uint64_t)(bits - SCREEN_LEAST) * s->inputs + 7) / 8;
    s->sizes[0] = 4;
    s->sizes[1] = two + 4;
    s->sizes[2] = three + 4;
    s->sizes[3] = two + three + rest + 12; /* all of a row, its bias and its place */
}

int32_t screen_make(struct screen *s, const struct file_head *head, const char *kernel,
                    struct sparseflow_run_error *error)
{
    const struct file_screen *of = &head->screen;
    memset(s, 0, sizeof *s);
    s->outputs = head->outputs;
    s->inputs = head->inputs;
    s->blocks = (head->outputs + SCREEN_BLOCK - 1) / SCREEN_BLOCK;
    s->groups = (head->inputs + SCREEN_GROUP - 1) / SCREEN_GROUP;
    s->bytes = (head->inputs + SCREEN_BYTES - 1) / SCREEN_BYTES * SCREEN_BYTES;
    s->words = (head->inputs + SCREEN_WORDS - 1) / SCREEN_WORDS * SCREEN_WORDS;
    s->lift = screen_lift(head->inputs);
    s->prior_shift = of->prior_shift;
    s->typical = of->typical;
    s->order = of->order;
    s->bias = head->bias;
    s->kernel = screener_of(kernel);
    sizes(s, of->bits);
    if (!room(s))
        return file_error(error, SPARSEFLOW_RUN_MEMORY, "no memory for the head");
    memcpy(s->first, of->first, s->outputs * sizeof *s->first);
    memcpy(s->second, of->second, s->outputs * sizeof *s->second);
    blocks_lay(s, of);
    for (size_t row = 0; row < s->outputs; row++)
        planes_lay(s, head, row);
    return SPARSEFLOW_RUN_OK;
}

void screen_drop(struct screen *s)
{
    free(s->planes);
    free(s->middles);
    free(s->weight);
    free(s->first);
    free(s->second);
    free(s->far);
    free(s->slopes);
    memset(s, 0, sizeof *s);
}

static int32_t clipped(int64_t value)
{
    return (int32_t)(value > MOST_DIGIT ? MOST_DIGIT : value < -MOST_DIGIT ? -MOST_DIGIT : value);
}

/* The norm that bounds after a plane take, of so many 256ths. */
static int64_t reach_of(int64_t known, int64_t rest, int64_t share, uint32_t margin)
{
    return ((known + share * rest) * margin + PROOF - 1) / PROOF;
}

static void query_of(const struct screen *s, const int32_t *x, uint32_t margin, struct query *q)
{
    int64_t all = 0, known = 0, rest = 0;
    int32_t most = 0;
    for (uint32_t n = 0; n < s->inputs; n++)
        most = abs(x[n]) > most ? abs(x[n]) : most;
    memset(q, 0, sizeof *q);
    while (most >> q->shift >= 1 << (DIGIT_BITS - 1))
        q->shift++;
    for (uint32_t n = 0; n < s->inputs; n++) {
        int32_t half = q->shift ? 1 << (q->shift - 1) : 0;
        int32_t digit = clipped((x[n] + half) >> q->shift), y = digit * (1 << q->shift);
        q->digits[n] = (int8_t)digit;
        q->sum += digit;
        q->high[n] = (int16_t)(x[n] >> 8);
        q->low[n] = (int16_t)(x[n] & 255);
        all += (int64_t)x[n] * x[n];
        known += (int64_t)y * y;
        rest += (int64_t)(x[n] - y) * (x[n] - y);
    }
    q->norm = root_above(all);
    known = root_above(known);
    rest = root_above(rest);
    q->reaches[0] = reach_of(known, rest, SCREEN_SHARE_1, margin);
    q->reaches[1] = reach_of(known, rest, SCREEN_SHARE_2, margin);
}

static int64_t second_bound(const struct screen *s, const struct query *q, uint32_t row)
{
    struct cells_of_row of = screen_cells(s->second[row]);
    int unit = of.width - 6 - of.fold + of.shift + SCREEN_FRACTION;
    int64_t sum = s->kernel->second(s, q, row) * ((int64_t)1 << (q->shift + unit));
    int64_t held = (int64_t)(s->second[row] & 0xffff) * q->reaches[1];
    int64_t prior = (int64_t)screen_prior(s->first[row]) *
                    ((int64_t)1 << (s->prior_shift + SCREEN_FRACTION));
    return sum + held * ((int64_t)1 << screen_second_shift(of, s->lift)) + prior;
}

void best_add(struct best *best, int64_t logit, uint32_t output)
{
    uint32_t at = best->count < best->k ? best->count++ : best->k;
    for (; at && (best->logits[at - 1] < logit ||
                  (best->logits[at - 1] == logit && best->indices[at - 1] > output));
         at--)
        if (at < best->k) {
            best->logits[at] = best->logits[at - 1];
            best->indices[at] = best->indices[at - 1];
        }
    if (at < best->k) {
        best->logits[at] = logit;
        best->indices[at] = output;
    }
}

/* What a bound must reach; anything does before the list is full. */
static int64_t tau_of(const struct best *best)
{
    return best->count < best->k ? INT64_MIN
                                 : best->logits[best->k - 1] * (1 << SCREEN_FRACTION);
}

/* Rows of a block that are still there, in order; what each adds raises what the next must reach. */
static void block_top(const struct screen *s, const struct query *q, uint32_t block,
                      struct best *best, struct sparseflow_run_read *read)
{
    uint32_t rows = s->outputs - block * SCREEN_BLOCK;
    int64_t bounds[SCREEN_BLOCK] __attribute__((aligned(64)));
    uint32_t which = s->kernel->first(s, q, block, tau_of(best), bounds);
    rows = rows < SCREEN_BLOCK ? rows : SCREEN_BLOCK;
    read->first += rows;
    which &= (uint32_t)(((uint64_t)1 << rows) - 1);
    for (; which; which &= which - 1) {
        uint32_t n = (uint32_t)__builtin_ctz(which), row = block * SCREEN_BLOCK + n;
        if (bounds[n] < tau_of(best))
            continue;
        read->second++;
        if (second_bound(s, q, row) < tau_of(best))
            continue;
        read->exact++;
        uint32_t output = s->order[row];
        best_add(best, s->kernel->exact(s, q, row) + s->bias[output], output);
    }
}

void screen_top(const struct screen *s, const int32_t *x, uint32_t k, uint32_t margin,
                uint32_t *indices, int64_t *logits, struct sparseflow_run_read *read)
{
    struct query q;
    struct best best = {k, 0, indices, logits};
    query_of(s, x, margin, &q);
    int64_t beyond = q.norm - s->typical;
    const int64_t *slope = s->slopes + (beyond > 0);
    for (uint32_t block = 0; block < s->blocks; block++) {
        int64_t bound = s->far[block] + slope[2 * block] * beyond;
        if (bound * (1 << SCREEN_FRACTION) >= tau_of(&best))
            block_top(s, &q, block, &best, read);
    }
    read->bytes += s->blocks * s->sizes[0] + read->first * s->sizes[1] +
                   read->second * s->sizes[2] + read->exact * s->sizes[3];
}

void screen_logits(const struct screen *s, const int32_t *x, int64_t *logits)
{
    struct query q;
    query_of(s, x, PROOF, &q);
    for (uint32_t row = 0; row < s->outputs; row++)
        logits[s->order[row]] = s->kernel->exact(s, &q, row) + s->bias[s->order[row]];
}
