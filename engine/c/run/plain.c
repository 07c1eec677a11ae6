#include "plain.h"

#include <stdlib.h>
#include <string.h>

static int copy(struct plain *to, const struct rows *from)
{
    size_t rows = (size_t)from->of.rows, count = from->starts[rows];
    to->starts = malloc((rows + 1) * sizeof *to->starts);
    to->values = malloc((count + 1) * sizeof *to->values);
    to->columns = malloc((count + 1) * sizeof *to->columns);
    if (!to->starts || !to->values || !to->columns)
        return 0;
    memcpy(to->starts, from->starts, (rows + 1) * sizeof *to->starts);
    memcpy(to->values, from->values, count * sizeof *to->values);
    memcpy(to->columns, from->columns, count * sizeof *to->columns);
    return 1;
}

static int table(struct wide_cells *k)
{
    int count = 1 << k->segments;
    int64_t *base = malloc((size_t)count * sizeof *base), *rise = malloc((size_t)count * sizeof *rise);
    k->base = base;
    k->rise = rise;
    for (int n = 0; base && rise && n < count; n++)
        table_entry(k->bits, k->segments, n, &base[n], &rise[n]);
    return base && rise;
}

int32_t plain_make(struct layer *layer, const struct file_layer *of)
{
    size_t sums = of->cell == CELL_RESET_FIRST ? 3 : GATES;
    size_t size = (size_t)layer->units * sums * sizeof(int64_t);
    int good = copy(&layer->plain_ih, &of->ih) && copy(&layer->plain_hh, &of->hh) &&
               (!of->hr.starts || copy(&layer->plain_hr, &of->hr)) && table(&layer->wide);
    layer->wide.bias = malloc(size);
    if (!good || !layer->wide.bias)
        return SPARSEFLOW_RUN_MEMORY;
    memcpy(layer->wide.bias, of->bias, size);
    return SPARSEFLOW_RUN_OK;
}

static void free_one(struct plain *p)
{
    free(p->starts);
    free(p->values);
    free(p->columns);
}

void plain_free(struct layer *layer)
{
    free_one(&layer->plain_ih);
    free_one(&layer->plain_hh);
    free_one(&layer->plain_hr);
    free((void *)(uintptr_t)layer->wide.base);
    free((void *)(uintptr_t)layer->wide.rise);
    free(layer->wide.bias);
}

static int64_t sum(const struct plain *m, size_t row, const int32_t *x)
{
    int64_t total = 0;
    for (size_t n = m->starts[row]; n < m->starts[row + 1]; n++)
        total += (int64_t)m->values[n] * x[m->columns[n]];
    return total;
}

static int64_t rounded(int64_t value, int32_t shift)
{
    return shift ? (value + ((int64_t)1 << (shift - 1))) >> shift : value;
}

static int64_t clip(int64_t value, int32_t bits)
{
    int64_t most = ((int64_t)1 << (bits - 1)) - 1;
    return value > most ? most : value < -most - 1 ? -most - 1 : value;
}

/* Left shifts of what may be negative. */
static int64_t lifted(int64_t value, int32_t shift)
{
    return (int64_t)((uint64_t)value << shift);
}

static int64_t magnitude(const struct wide_cells *k, int64_t z)
{
    int64_t last = ((int64_t)1 << (k->segments + k->offset_bits)) - 1;
    z = z < last ? z : last;
    int64_t at = z >> k->offset_bits, place = z & (((int64_t)1 << k->offset_bits) - 1);
    return k->base[at] + rounded(k->rise[at] * place, k->offset_bits);
}

static int64_t tanh_of(const struct wide_cells *k, int64_t x)
{
    int64_t top = ((int64_t)1 << (k->bits - 1)) - 1;
    int64_t size = rounded(magnitude(k, (x < 0 ? -x : x) << 1), 2);
    size = size < top ? size : top;
    return x < 0 ? -size : size;
}

static int64_t sigmoid(const struct wide_cells *k, int64_t x)
{
    int64_t one = (int64_t)1 << (k->bits + 1), top = ((int64_t)1 << (k->bits - 1)) - 1;
    int64_t size = magnitude(k, x < 0 ? -x : x);
    int64_t y = rounded(x < 0 ? one - size : one + size, 3);
    return y < top ? y : top;
}

static void lstm(const struct wide_cells *k, const int64_t pre[GATES], int32_t *c, int32_t *h)
{
    int64_t i = sigmoid(k, pre[0]), f = sigmoid(k, pre[1]), g = tanh_of(k, pre[2]);
    int64_t o = sigmoid(k, pre[3]);
    int64_t cell = rounded(lifted(f * *c, k->lift) + i * g, k->bits - 1 + k->lift);
    *c = (int32_t)clip(cell, k->bits + 2);
    *h = (int32_t)clip(rounded(o * tanh_of(k, *c), k->bits - 1), k->bits);
}

/* `kept` is h with two more fraction bits. */
static void gru(const struct wide_cells *k, const int64_t pre[GATES], int32_t *kept, int32_t *h)
{
    int64_t reset = rounded(sigmoid(k, pre[0]) * pre[3], k->bits - 1), z = sigmoid(k, pre[1]);
    int64_t n = lifted(tanh_of(k, clip(pre[2] + reset, k->bits + 2)), 2);
    *kept = (int32_t)(n + rounded(z * (*kept - n), k->bits - 1));
    *h = (int32_t)clip(rounded(*kept, 2), k->bits);
}

/* The pre-activation of one group of a unit; rows that a matrix has not are 0. `state` is what the
 * rows of weight_hh take. */
static int64_t pre_of(const struct layer *layer, const struct lane *lane, int group, size_t unit,
                      const int32_t *state)
{
    const struct wide_cells *k = &layer->wide;
    struct order ih = order_of(k->cell, 0), hh = order_of(k->cell, 1);
    int64_t found = 0;
    if (ih.gate[group] >= 0)
        found += lifted(sum(&layer->plain_ih, (size_t)ih.gate[group] * layer->units + unit,
                            lane->frame),
                        k->left_ih[group]);
    if (hh.gate[group] >= 0)
        found += lifted(sum(&layer->plain_hh, (size_t)hh.gate[group] * layer->units + unit,
                            state),
                        k->left_hh[group]);
    int64_t bias = k->bias[(size_t)group * layer->units + unit];
    return clip(rounded(found, k->right[group]) + bias, k->bits + 2);
}

/* r * h of a unit whose reset comes first, and its z. */
static void reset(const struct layer *layer, struct lane *lane, size_t unit)
{
    const struct wide_cells *k = &layer->wide;
    int64_t r = sigmoid(k, pre_of(layer, lane, 0, unit, lane->out));
    lane->hidden[unit] = (int32_t)rounded(r * lane->c[unit], k->bits + 1);
    lane->z[unit] = (int32_t)sigmoid(k, pre_of(layer, lane, 1, unit, lane->out));
}

/* Its new state, in `out`. */
static void renew(const struct layer *layer, struct lane *lane, size_t unit)
{
    const struct wide_cells *k = &layer->wide;
    int64_t n = lifted(tanh_of(k, pre_of(layer, lane, 2, unit, lane->hidden)), 2);
    lane->c[unit] = (int32_t)(n + rounded(lane->z[unit] * (lane->c[unit] - n), k->bits - 1));
    lane->out[unit] = (int32_t)clip(rounded(lane->c[unit], 2), k->bits);
}

void plain_gates(const struct layer *layer, struct lane *lane, uint32_t first, uint32_t end)
{
    const struct wide_cells *k = &layer->wide;
    size_t last = (size_t)end * LANES < layer->units ? (size_t)end * LANES : layer->units;
    for (size_t unit = (size_t)first * LANES; unit < last; unit++) {
        int64_t pre[GATES];
        if (k->cell == CELL_RESET_FIRST) {
            reset(layer, lane, unit);
            continue;
        }
        for (int group = 0; group < GATES; group++)
            pre[group] = pre_of(layer, lane, group, unit, lane->out);
        (k->cell == CELL_GRU ? gru : lstm)(k, pre, &lane->c[unit], &lane->hidden[unit]);
    }
}

void plain_project(const struct layer *layer, struct lane *lane, uint32_t first, uint32_t end)
{
    const struct wide_cells *k = &layer->wide;
    size_t last = (size_t)end * BLOCK < layer->outputs ? (size_t)end * BLOCK : layer->outputs;
    for (size_t row = (size_t)first * BLOCK; row < last; row++) {
        if (k->cell == CELL_RESET_FIRST) {
            renew(layer, lane, row);
            continue;
        }
        int64_t total = lifted(sum(&layer->plain_hr, row, lane->hidden), k->project_left);
        lane->out[row] = (int32_t)clip(rounded(total, k->project_right), k->project_bits);
    }
}
