/* Matrices cut into blocks and windows; layer.h has their form. */
#include <stdlib.h>
#include <string.h>

#include "layer.h"

#define LEAST (-128)  /* low digit that some kernels cannot take */
#define LOAD 1.0f     /* cost of a window's registers, in quads */
#define SAMPLE 16     /* blocks that a way to cut is judged by, about */

void *aligned(size_t bytes)
{
    void *found = NULL;
    if (posix_memalign(&found, ALIGNED, bytes + ALIGNED))
        return NULL;
    memset(found, 0, bytes + ALIGNED);
    return found;
}

const struct order ROWS_IN_TURN = {0, 1, {0, 0, 0, 0}};

/* Of a GRU whose reset comes first: rows n take another vector than h. */
const struct order ROWS_OF_R_AND_Z = {1, 3, {0, 1, -1, -1}};

/* Sums of a GRU: r and z of both products, then n of the input's and of the state's alone; where
 * its reset comes first n of both. */
struct order order_of(enum cell cell, int recurrent)
{
    static const struct order lstm = {1, 4, {0, 1, 2, 3}};
    static const struct order gru[2] = {{1, 3, {0, 1, 2, -1}}, {1, 3, {0, 1, -1, 2}}};
    return cell == CELL_LSTM ? lstm : gru[cell == CELL_GRU && recurrent];
}

size_t tiles_row(const struct rows *rows, const struct order *order, uint32_t block,
                 uint32_t place)
{
    size_t count = (size_t)rows->of.rows;
    if (!order->grouped)
        return (size_t)block * BLOCK + place;
    int gate = order->gate[place / LANES];
    size_t units = count / (size_t)order->gates, unit = (size_t)block * LANES + place % LANES;
    return unit < units && gate >= 0 ? (size_t)gate * units + unit : count;
}

static int32_t low_digit(int32_t value)
{
    return ((value + 128) & 255) - 128;
}

/* As much of a weight as two signed digits hold, or the digits of a kernel without -128. */
static int32_t held(const struct tiles *t, int32_t value)
{
    if (t->weight_digits > 1 && value > LARGEST)
        return LARGEST;
    if (t->no_least && t->weight_digits > 1 && value < -LARGEST)
        return -LARGEST;
    return t->no_least && low_digit(value) == LEAST ? value + 1 : value;
}

static size_t rests_of(const struct tiles *t, const struct rows *rows)
{
    size_t count = 0;
    for (size_t n = 0; n < rows->starts[rows->of.rows]; n++)
        count += held(t, rows->values[n]) != rows->values[n];
    return count;
}

static uint32_t digits_of(const struct rows *rows)
{
    for (size_t n = 0; n < rows->starts[rows->of.rows]; n++)
        if (!fits(rows->values[n], 8))
            return 2;
    return 1;
}

/* Cut into windows that begin every `step` columns; they overlap where they are wider. */
static void cut(struct tiles *t, uint32_t width, uint32_t step, uint32_t columns)
{
    t->width = width;
    t->windows = (columns + step - 1) / step;
    for (uint32_t n = 0; n < t->windows; n++)
        t->first[n] = n * step;
}

/* What is left of the rows of a block, from the first column on. */
struct hand {
    size_t next[BLOCK], end[BLOCK];
};

static void take_up(struct hand *h, const struct rows *rows, const struct order *order,
                    uint32_t block)
{
    for (uint32_t place = 0; place < BLOCK; place++) {
        size_t row = tiles_row(rows, order, block, place), count = (size_t)rows->of.rows;
        h->next[place] = rows->starts[row < count ? row : count];
        h->end[place] = rows->starts[row < count ? row + 1 : count];
    }
}

/* Where the columns of a row from `until` on begin, at most `most` entries on. */
static size_t before(const struct hand *h, const struct rows *rows, uint32_t place,
                     uint32_t until, size_t most)
{
    size_t n = h->next[place], last = h->end[place] - n < most ? h->end[place] : n + most;
    while (n < last && rows->columns[n] < until)
        n++;
    return n;
}

/* Quads of each window of a block: enough for what no later window reaches of the fullest of its
 * rows. Rows that have room left there take what they have in the next one too. */
static void count_block(const struct tiles *t, const struct rows *rows,
                        const struct order *order, uint32_t block, uint32_t *quads)
{
    struct hand h;
    take_up(&h, rows, order, block);
    for (uint32_t n = 0; n < t->windows; n++) {
        uint32_t until = n + 1 < t->windows ? t->first[n + 1] : UINT32_MAX;
        size_t most = 0;
        for (uint32_t place = 0; place < BLOCK; place++) {
            size_t due = before(&h, rows, place, until, SIZE_MAX) - h.next[place];
            most = most < due ? due : most;
        }
        quads[n] = (uint32_t)((most + QUAD - 1) / QUAD);
        for (uint32_t place = 0; place < BLOCK; place++)
            h.next[place] = before(&h, rows, place, t->first[n] + t->width, quads[n] * QUAD);
    }
}

static float cost_of(struct tiles *t, const struct rows *rows, const struct order *order,
                     float each)
{
    float cost = 0;
    for (uint32_t block = 0; block < t->blocks; block += 1 + t->blocks / SAMPLE) {
        count_block(t, rows, order, block, t->quads);
        for (uint32_t n = 0; n < t->windows; n++)
            cost += t->quads[n] ? LOAD + GROUPS * each * (float)t->quads[n] : 0;
    }
    return cost;
}

/* The cheapest of all ways to cut: whole windows, as many whole banks as one holds, or windows
 * that overlap by half or more. */
static void choose(struct tiles *t, const struct rows *rows, const struct kernel *kernel,
                   const struct order *order)
{
    uint32_t columns = (uint32_t)rows->of.columns, bank = (uint32_t)rows->of.bank_width;
    uint32_t step = 0, width = 0;
    float least = 0;
    for (int n = 0; n < 2; n++) {
        uint32_t wide = kernel->windows[n];
        uint32_t steps[] = {wide, wide / bank * bank, wide / 2, wide / 4};
        for (size_t way = 0; way < sizeof steps / sizeof *steps; way++) {
            if (!steps[way])
                continue;
            cut(t, wide, steps[way], columns);
            float cost = cost_of(t, rows, order, kernel->costs[n]);
            if (!step || cost < least) {
                least = cost;
                step = steps[way];
                width = wide;
            }
        }
    }
    cut(t, width, step, columns);
}

/* Of all groups. */
static size_t quad_bytes(const struct tiles *t)
{
    return (size_t)GROUPS * 64 * (1 + t->weight_digits);
}

static void put(uint8_t *at, const struct tiles *t, uint32_t group, uint32_t lane, uint32_t entry,
                uint32_t place, int32_t value)
{
    uint8_t *quad = at + ((size_t)(entry / QUAD) * GROUPS + group) * 64 * (1 + t->weight_digits);
    size_t byte = (size_t)lane * QUAD + entry % QUAD;
    int32_t low = low_digit(value);
    quad[byte] = (uint8_t)place;
    quad[64 + byte] = (uint8_t)low;
    if (t->weight_digits > 1)
        quad[128 + byte] = (uint8_t)((value - low) >> 8);
}

/* Entries of a row in a window; what digits cannot hold is left for later. */
static void fill_row(struct tiles *t, const struct rows *rows, uint32_t block, uint32_t place,
                     uint32_t first, size_t from, size_t end, uint8_t *at)
{
    for (size_t n = from; n < end; n++) {
        uint32_t column = rows->columns[n];
        int32_t value = rows->values[n], held_of = held(t, value);
        put(at, t, place / LANES, place % LANES, (uint32_t)(n - from), column - first, held_of);
        if (held_of != value)
            t->rest[t->rests[block + 1]++] =
                (struct rest){(uint16_t)place, (int16_t)(value - held_of), column};
    }
}

static void fill_block(struct tiles *t, const struct rows *rows, const struct order *order,
                       uint32_t block)
{
    const uint32_t *quads = t->quads + (size_t)block * t->windows;
    uint8_t *at = t->data + t->starts[block];
    struct hand h;
    take_up(&h, rows, order, block);
    t->rests[block + 1] = t->rests[block];
    for (uint32_t n = 0; n < t->windows; n++) {
        for (uint32_t place = 0; place < BLOCK; place++) {
            size_t end = before(&h, rows, place, t->first[n] + t->width, quads[n] * QUAD);
            fill_row(t, rows, block, place, t->first[n], h.next[place], end, at);
            h.next[place] = end;
        }
        at += quads[n] * quad_bytes(t);
    }
}

static int32_t fill(struct tiles *t, const struct rows *rows, const struct order *order)
{
    size_t quads = 0;
    for (uint32_t block = 0; block < t->blocks; block++) {
        uint32_t *of = t->quads + (size_t)block * t->windows;
        count_block(t, rows, order, block, of);
        t->starts[block] = quads * quad_bytes(t);
        for (uint32_t n = 0; n < t->windows; n++)
            quads += of[n];
    }
    t->bytes = quads * quad_bytes(t);
    t->entries = (uint64_t)quads * GROUPS * LANES * QUAD;
    t->data = aligned(t->bytes);
    if (!t->data)
        return SPARSEFLOW_RUN_MEMORY;
    for (uint32_t block = 0; block < t->blocks; block++)
        fill_block(t, rows, order, block);
    return SPARSEFLOW_RUN_OK;
}

int32_t tiles_make(struct tiles *t, const struct rows *rows, const struct kernel *kernel,
                   uint32_t planes, const struct order *order)
{
    size_t count = (size_t)rows->of.rows, columns = (size_t)rows->of.columns;
    size_t most = columns / 8 + 2; /* windows: none is narrower than 8 columns */
    memset(t, 0, sizeof *t);
    t->blocks = (uint32_t)((count + BLOCK - 1) / BLOCK);
    if (order->grouped)
        t->blocks = (uint32_t)((count / (size_t)order->gates + LANES - 1) / LANES);
    t->weight_digits = digits_of(rows);
    t->digits = t->weight_digits + planes - 1;
    t->no_least = kernel->no_least;
    t->first = calloc(most, sizeof *t->first);
    t->quads = calloc((size_t)t->blocks * most, sizeof *t->quads);
    t->starts = calloc(t->blocks, sizeof *t->starts);
    t->rests = calloc((size_t)t->blocks + 1, sizeof *t->rests);
    t->rest = calloc(rests_of(t, rows) + 1, sizeof *t->rest);
    if (!t->first || !t->quads || !t->starts || !t->rests || !t->rest)
        return SPARSEFLOW_RUN_MEMORY;
    choose(t, rows, kernel, order);
    return fill(t, rows, order);
}

uint64_t tiles_loads(const struct tiles *t)
{
    uint64_t found = 0;
    for (size_t n = 0; n < (size_t)t->blocks * t->windows; n++)
        found += t->quads[n] != 0;
    return found;
}

uint64_t tiles_rests(const struct tiles *t)
{
    return t->blocks ? t->rests[t->blocks] : 0;
}

void tiles_free(struct tiles *t)
{
    free(t->first);
    free(t->quads);
    free(t->starts);
    free(t->data);
    free(t->rests);
    free(t->rest);
    memset(t, 0, sizeof *t);
}
