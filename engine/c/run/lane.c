/* One sequence in one layer: its state, and a step of it. */
#include <stdlib.h>
#include <string.h>

#include "layer.h"
#include "plain.h"

static size_t out_room(const struct layer *layer)
{
    size_t units = (size_t)layer->blocks * LANES, rows = (size_t)layer->out_blocks * BLOCK;
    return rows > units ? rows : units;
}

int lane_make(struct lane *lane, const struct layer *layer)
{
    size_t units = out_room(layer); /* whole blocks of both phases */
    memset(lane, 0, sizeof *lane);
    lane->c = aligned(units * sizeof *lane->c);
    lane->hidden = aligned(units * sizeof *lane->hidden);
    lane->out = aligned(units * sizeof *lane->out);
    int good = lane->c && lane->hidden && lane->out;
    if (layer->wide.cell == CELL_RESET_FIRST) {
        lane->z = aligned(units * sizeof *lane->z);
        lane->part = aligned(units * sizeof *lane->part);
        good = good && lane->z && lane->part;
    }
    if (layer->kernel) {
        lane->x = aligned(layer->x.count * layer->x.stride);
        lane->r = aligned(layer->r.count * layer->r.stride);
        lane->next = aligned(layer->r.count * layer->r.stride);
        lane->h = aligned(layer->h.count * layer->h.stride);
        good = good && lane->x && lane->r && lane->next && lane->h;
    } else {
        lane->frame = aligned(layer->inputs * sizeof *lane->frame);
        good = good && lane->frame;
    }
    if (good)
        lane_reset(lane, layer);
    return good;
}

void lane_free(struct lane *lane)
{
    free(lane->x);
    free(lane->r);
    free(lane->next);
    free(lane->h);
    free(lane->c);
    free(lane->hidden);
    free(lane->out);
    free(lane->frame);
    free(lane->z);
    free(lane->part);
    memset(lane, 0, sizeof *lane);
}

void lane_reset(struct lane *lane, const struct layer *layer)
{
    size_t units = (size_t)layer->blocks * LANES;
    memset(lane->c, 0, units * sizeof *lane->c);
    memset(lane->hidden, 0, units * sizeof *lane->hidden);
    memset(lane->out, 0, out_room(layer) * sizeof *lane->out);
    if (layer->kernel)
        layer->kernel->spread(&layer->r, lane->out, layer->outputs, lane->r);
}

void layer_take(const struct layer *layer, struct lane *lane, const int32_t *frame)
{
    if (layer->kernel)
        layer->kernel->spread(&layer->x, frame, layer->inputs, lane->x);
    else
        memcpy(lane->frame, frame, layer->inputs * sizeof *frame);
}

static void add_rests(const struct tiles *tiles, uint32_t block, const struct planes *planes,
                      const uint8_t *x, int32_t *sums)
{
    for (size_t n = tiles->rests[block]; n < tiles->rests[block + 1]; n++) {
        const struct rest *rest = &tiles->rest[n];
        for (uint32_t p = 0; p < planes->count; p++) {
            uint8_t byte = x[p * planes->stride + rest->column];
            int32_t digit = planes->flip[p] ? (int8_t)byte : byte;
            uint32_t *sum = (uint32_t *)&sums[p * BLOCK + rest->place];
            *sum += (uint32_t)(digit * rest->value);
        }
    }
}

/* Digits of a block's sums, of up to MOST_MANY sequences. */
static void products(const struct kernel *kernel, const struct tiles *tiles, uint32_t block,
                     const struct planes *planes, const uint8_t *const *x, size_t count,
                     int32_t (*sums)[MOST_SUMS])
{
    size_t many = kernel->products ? kernel->many[tiles->digits] : 1, n = 0;
    for (; many > 1 && n + many <= count; n += many)
        kernel->products(tiles, block, x + n, planes->stride, planes->count, sums + n);
    for (; n < count; n++)
        kernel->product(tiles, block, x[n], planes->stride, planes->count, sums[n]);
    for (n = 0; tiles->rests[block] < tiles->rests[block + 1] && n < count; n++)
        add_rests(tiles, block, planes, x[n], sums[n]);
}

static void tiled_gates(const struct layer *layer, struct lane *const *lanes, size_t count,
                        uint32_t block)
{
    const struct kernel *kernel = layer->kernel;
    int32_t ih[MOST_MANY][MOST_SUMS] __attribute__((aligned(ALIGNED)));
    int32_t hh[MOST_MANY][MOST_SUMS] __attribute__((aligned(ALIGNED)));
    const uint8_t *x[MOST_MANY], *r[MOST_MANY];
    size_t at = (size_t)block * LANES;
    for (size_t n = 0; n < count; n++) {
        x[n] = lanes[n]->x;
        r[n] = lanes[n]->r;
    }
    products(kernel, &layer->ih, block, &layer->x, x, count, ih);
    products(kernel, &layer->hh, block, &layer->r, r, count, hh);
    for (size_t n = 0; n < count; n++) {
        struct lane *lane = lanes[n];
        if (layer->wide.cell == CELL_RESET_FIRST)
            kernel->reset(&layer->cells, block, ih[n], layer->ih.digits, hh[n], layer->hh.digits,
                          lane->c + at, lane->hidden + at, lane->z + at, lane->part + at);
        else
            kernel->finish(&layer->cells, block, ih[n], layer->ih.digits, hh[n], layer->hh.digits,
                           lane->c + at, lane->hidden + at);
        if (layer->out_blocks)
            kernel->spread(&layer->h, lane->hidden + at, LANES, lane->h + at);
        else
            kernel->spread(&layer->r, lane->hidden + at, LANES, lane->next + at);
    }
}

static void tiled_project(const struct layer *layer, struct lane *const *lanes, size_t count,
                          uint32_t block)
{
    const struct kernel *kernel = layer->kernel;
    int32_t sums[MOST_MANY][MOST_SUMS] __attribute__((aligned(ALIGNED)));
    const uint8_t *h[MOST_MANY];
    size_t at = (size_t)block * BLOCK;
    for (size_t n = 0; n < count; n++)
        h[n] = lanes[n]->h;
    products(kernel, &layer->hr, block, &layer->h, h, count, sums);
    for (size_t n = 0; n < count; n++) {
        struct lane *lane = lanes[n];
        if (layer->wide.cell == CELL_RESET_FIRST)
            kernel->renew(&layer->cells, block, sums[n], layer->hr.digits, lane->z + at,
                          lane->part + at, lane->c + at, lane->out + at);
        else
            kernel->project(&layer->projection, block, sums[n], layer->hr.digits, lane->out + at);
        kernel->spread(&layer->r, lane->out + at, BLOCK, lane->next + at);
    }
}

static size_t some(size_t left)
{
    return left < MOST_MANY ? left : MOST_MANY;
}

/* Block by block, so that its weights are read once for all lanes. */
void layer_gates(const struct layer *layer, struct lane *const *lanes, size_t count,
                 uint32_t first, uint32_t end)
{
    for (uint32_t block = first; layer->kernel && block < end; block++)
        for (size_t n = 0; n < count; n += MOST_MANY)
            tiled_gates(layer, lanes + n, some(count - n), block);
    for (size_t n = 0; !layer->kernel && n < count; n++)
        plain_gates(layer, lanes[n], first, end);
}

void layer_project(const struct layer *layer, struct lane *const *lanes, size_t count,
                   uint32_t first, uint32_t end)
{
    for (uint32_t block = first; layer->kernel && block < end; block++)
        for (size_t n = 0; n < count; n += MOST_MANY)
            tiled_project(layer, lanes + n, some(count - n), block);
    for (size_t n = 0; !layer->kernel && n < count; n++)
        plain_project(layer, lanes[n], first, end);
}

void layer_keep(const struct layer *layer, struct lane *lane)
{
    uint8_t *old = lane->r;
    lane->r = lane->next;
    lane->next = old;
    if (layer->wide.cell == CELL_RESET_FIRST)
        memcpy(lane->hidden, lane->out, layer->units * sizeof *lane->out);
    else if (!layer->out_blocks)
        memcpy(lane->out, lane->hidden, layer->units * sizeof *lane->out);
}
