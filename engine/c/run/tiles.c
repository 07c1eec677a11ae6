/* Matrices cut into blocks and windows; layer.h has their form. */
#include <stdlib.h>
#include <string.h>

#include "layer.h"

#define LEAST (-128)  /* low digit that some kernels cannot take */
#define LOAD 1.0f     /* cost of a window's registers, in quads */

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

/* Cut into windows that begin every `step` columns. */
static void cut(struct tiles *t, uint32_t width, uint32_t step, uint32_t columns)
{
    t->width = width;
    t->windows = (columns + step - 1) / step;
    for (uint32_t n = 0; n < t->windows; n++)
        t->first[n] = n * step;
}

/* Quads of each window of a block: enough for the fullest of its rows. */
static void count_block(const struct tiles *t, const struct rows *rows, const struct order *order, uint32_t block,
                        uint32_t step, uint32_t *quads)
{
    memset(quads, 0, t->windows * sizeof *quads);
    for (uint32_t place = 0; place < BLOCK; place++) {
        size_t row = tiles_row(rows, order, block, place);
        if (row >= (size_t)rows->of.rows)
            continue;
        uint32_t window = 0, count = 0;
        for (size_t n = rows->starts[row]; n < rows->starts[row + 1]; n++) {
            uint32_t at = rows->columns[n] / step;
            count = at == window ? count : 0;
            window = at;
            count++;
            uint32_t need = (count + QUAD - 1) / QUAD;
            quads[at] = quads[at] < need ? need : quads[at];
        }
    }
}

static float cost_of(struct tiles *t, const struct rows *rows, const struct order *order, uint32_t step,
                     float each)
{
    float cost = 0;
    for (uint32_t block = 0; block < t->blocks; block++) {
        count_block(t, rows, order, block, step, t->quads);
        for (uint32_t n = 0; n < t->windows; n++)
            cost += t->quads[n] ? LOAD + GROUPS * each * (float)t->quads[n] : 0;
    }
    return cost;
}

/* The cheapest of all ways to cut: whole windows, or as many whole banks as one holds. */
static uint32_t choose(struct tiles *t, const struct rows *rows, const struct kernel *kernel,
                       const struct order *order)
{
    uint32_t columns = (uint32_t)rows->of.columns, bank = (uint32_t)rows->of.bank_width;
    uint32_t step = 0, width = 0;
    float least = 0;
    for (int n = 0; n < 2; n++)
        for (int banked = 0; banked < 2; banked++) {
            uint32_t wide = kernel->windows[n], each = banked ? wide / bank * bank : wide;
            if (!each || (banked && each == wide))
                continue;
            cut(t, wide, each, columns);
            float cost = cost_of(t, rows, order, each, kernel->costs[n]);
            if (!step || cost < least) {
                least = cost;
                step = each;
                width = wide;
            }
        }
    cut(t, width, step, columns);
    return step;
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

static void fill_row(struct tiles *t, const struct rows *rows, size_t row, uint32_t block,
                     uint32_t place, uint32_t step)
{
    const uint32_t *quads = t->quads + (size_t)block * t->windows;
    uint32_t window = 0, entry = 0;
    uint8_t *at = t->data + t->starts[block];
    size_t quad = (size_t)GROUPS * 64 * (1 + t->weight_digits);
    for (size_t n = rows->starts[row]; n < rows->starts[row + 1]; n++) {
        uint32_t column = rows->columns[n];
        for (; window < column / step; window++, entry = 0)
            at += quads[window] * quad;
        int32_t value = rows->values[n];
        int32_t first = held(t, value);
        put(at, t, place / LANES, place % LANES, entry++, column % step, first);
        if (first != value)
            t->rest[t->rests[block + 1]++] =
                (struct rest){(uint16_t)place, (int16_t)(value - first), column};
    }
}

static int32_t fill(struct tiles *t, const struct rows *rows, const struct order *order, uint32_t step)
{
    size_t quads = 0, each = (size_t)GROUPS * 64 * (1 + t->weight_digits);
    for (uint32_t block = 0; block < t->blocks; block++) {
        uint32_t *of = t->quads + (size_t)block * t->windows;
        count_block(t, rows, order, block, step, of);
        t->starts[block] = quads * each;
        for (uint32_t n = 0; n < t->windows; n++)
            quads += of[n];
    }
    t->bytes = quads * each;
    t->entries = (uint64_t)quads * GROUPS * LANES * QUAD;
    t->data = aligned(t->bytes);
    if (!t->data)
        return SPARSEFLOW_RUN_MEMORY;
    for (uint32_t block = 0; block < t->blocks; block++) {
        t->rests[block + 1] = t->rests[block];
        for (uint32_t place = 0; place < BLOCK; place++) {
            size_t row = tiles_row(rows, order, block, place);
            if (row < (size_t)rows->of.rows)
                fill_row(t, rows, row, block, place, step);
        }
    }
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
    return fill(t, rows, order, choose(t, rows, kernel, order));
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
