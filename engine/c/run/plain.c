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
    int count = 1 << table_bits(k->bits);
    int64_t *base = malloc((size_t)count * sizeof *base), *rise = malloc((size_t)count * sizeof *rise);
    k->base = base;
    k->rise = rise;
    for (int n = 0; base && rise && n < count; n++)
        table_entry(k->bits, n, &base[n], &rise[n]);
    return base && rise;
}

int32_t plain_make(struct layer *layer, const struct file_layer *of)
{
    size_t size = (size_t)layer->units * GATES * sizeof(int64_t);
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
    int64_t last = ((int64_t)1 << (k->bits + 1)) - 1;
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

static void update(const struct wide_cells *k, const int64_t pre[GATES], int32_t *c, int32_t *h)
{
    int64_t i = sigmoid(k, pre[0]), f = sigmoid(k, pre[1]), g = tanh_of(k, pre[2]);
    int64_t o = sigmoid(k, pre[3]);
    int64_t cell = rounded(lifted(f * *c, 2) + i * g, k->bits + 1);
    *c = (int32_t)clip(cell, k->bits + 2);
    *h = (int32_t)clip(rounded(o * tanh_of(k, *c), k->bits - 1), k->bits);
}

void plain_gates(const struct layer *layer, struct lane *lane, uint32_t first, uint32_t end)
{
    const struct wide_cells *k = &layer->wide;
    size_t last = (size_t)end * LANES < layer->units ? (size_t)end * LANES : layer->units;
    for (size_t unit = (size_t)first * LANES; unit < last; unit++) {
        int64_t pre[GATES];
        for (int gate = 0; gate < GATES; gate++) {
            size_t row = (size_t)gate * layer->units + unit;
            int64_t total = lifted(sum(&layer->plain_ih, row, lane->frame), k->left_ih[gate]) +
                            lifted(sum(&layer->plain_hh, row, lane->out), k->left_hh[gate]);
            pre[gate] = clip(rounded(total, k->right[gate]) + k->bias[row], k->bits + 2);
        }
        update(k, pre, &lane->c[unit], &lane->hidden[unit]);
    }
}

void plain_project(const struct layer *layer, struct lane *lane, uint32_t first, uint32_t end)
{
    const struct wide_cells *k = &layer->wide;
    size_t last = (size_t)end * BLOCK < layer->outputs ? (size_t)end * BLOCK : layer->outputs;
    for (size_t row = (size_t)first * BLOCK; row < last; row++) {
        int64_t total = lifted(sum(&layer->plain_hr, row, lane->hidden), k->project_left);
        lane->out[row] = (int32_t)clip(rounded(total, k->project_right), k->project_bits);
    }
}
