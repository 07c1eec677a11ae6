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

/* Sums of a block of both products. */
struct both {
    const int32_t *ih, *hh;
    uint32_t ih_digits, hh_digits;
};

/* Cells of a block, or what there is of them before a reset is multiplied. */
static void finish_one(const struct layer *layer, const struct cells *k, struct lane *lane,
                       uint32_t block, struct both s)
{
    size_t at = (size_t)block * LANES;
    if (layer->wide.cell == CELL_RESET_FIRST)
        layer->kernel->reset(k, block, s.ih, s.ih_digits, s.hh, s.hh_digits, lane->c + at,
                             lane->hidden + at, lane->z + at, lane->part + at);
    else
        layer->kernel->finish(k, block, s.ih, s.ih_digits, s.hh, s.hh_digits, lane->c + at,
                              lane->hidden + at);
}

/* Hidden states of a block, as bytes of what comes next: a projection, or the next step. */
static void spread_hidden(const struct layer *layer, struct lane *lane, size_t at)
{
    if (layer->out_blocks)
        layer->kernel->spread(&layer->h, lane->hidden + at, LANES, lane->h + at);
    else
        layer->kernel->spread(&layer->r, lane->hidden + at, LANES, lane->next + at);
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
        finish_one(layer, &layer->cells, lanes[n], block,
                   (struct both){ih[n], hh[n], layer->ih.digits, layer->hh.digits});
        spread_hidden(layer, lanes[n], at);
    }
}

static void project_one(const struct layer *layer, const struct cells *k,
                        const struct projection *p, struct lane *lane, uint32_t block,
                        const int32_t *sums, uint32_t digits)
{
    size_t at = (size_t)block * BLOCK;
    if (layer->wide.cell == CELL_RESET_FIRST)
        layer->kernel->renew(k, block, sums, digits, lane->z + at, lane->part + at, lane->c + at,
                             lane->out + at);
    else
        layer->kernel->project(p, block, sums, digits, lane->out + at);
    layer->kernel->spread(&layer->r, lane->out + at, BLOCK, lane->next + at);
}

static void tiled_project(const struct layer *layer, struct lane *const *lanes, size_t count,
                          uint32_t block)
{
    const struct kernel *kernel = layer->kernel;
    int32_t sums[MOST_MANY][MOST_SUMS] __attribute__((aligned(ALIGNED)));
    const uint8_t *h[MOST_MANY];
    for (size_t n = 0; n < count; n++)
        h[n] = lanes[n]->h;
    products(kernel, &layer->hr, block, &layer->h, h, count, sums);
    for (size_t n = 0; n < count; n++)
        project_one(layer, &layer->cells, &layer->projection, lanes[n], block, sums[n],
                    layer->hr.digits);
}

static uint32_t digits_beside(const struct tiles *tiles, enum reach reach)
{
    return reach == NARROW_SUMS ? 1 : tiles->weight_digits;
}

/* Columns of vectors as words, each kind whole tiles of BESIDE. */
struct columns {
    size_t x, r, h, all;
};

static size_t whole(size_t count)
{
    return (count + BESIDE - 1) / BESIDE * BESIDE;
}

static struct columns columns_of(const struct layer *layer)
{
    struct columns c = {whole(layer->inputs), whole(layer->outputs), 0, 0};
    c.h = layer->out_blocks ? whole(layer->units) : 0;
    c.all = c.x + c.r + c.h;
    return c;
}

static size_t passes_of(const struct layer *layer, size_t count)
{
    if (!layer->kernel || !layer->beside_from)
        return 0;
    return count / BESIDE + (count % BESIDE >= layer->beside_from);
}

size_t batch_room(const struct layer *layer, size_t count)
{
    return passes_of(layer, count) * columns_of(layer).all * BESIDE * sizeof(int16_t);
}

struct batch batch_of(const struct layer *layer, struct lane *const *lanes, size_t count,
                      int16_t *words)
{
    return (struct batch){lanes, count, words ? passes_of(layer, count) : 0, words};
}

/* Lanes of a pass, and their words. */
struct pass_lanes {
    struct lane *const *lanes;
    size_t count;
    int16_t *words;
};

static struct pass_lanes pass_lanes(const struct layer *layer, const struct batch *batch, size_t n)
{
    size_t left = batch->count - n * BESIDE;
    return (struct pass_lanes){batch->lanes + n * BESIDE, left < BESIDE ? left : BESIDE,
                               batch->words + n * columns_of(layer).all * BESIDE};
}

void batch_gather(const struct layer *layer, const struct batch *batch, int project)
{
    struct columns c = columns_of(layer);
    for (size_t n = 0; n < batch->passes; n++) {
        struct pass_lanes of = pass_lanes(layer, batch, n);
        const uint8_t *x[BESIDE], *r[BESIDE], *h[BESIDE];
        for (size_t m = 0; m < of.count; m++) {
            x[m] = of.lanes[m]->x;
            r[m] = of.lanes[m]->r;
            h[m] = of.lanes[m]->h;
        }
        if (project) {
            layer->kernel->gather(&layer->h, h, of.count, c.h, of.words + (c.x + c.r) * BESIDE);
            continue;
        }
        layer->kernel->gather(&layer->x, x, of.count, c.x, of.words);
        layer->kernel->gather(&layer->r, r, of.count, c.r, of.words + c.x * BESIDE);
    }
}

static void gates_beside(const struct layer *layer, struct pass_lanes of, uint32_t block)
{
    const struct kernel *kernel = layer->kernel;
    const struct cells *k = &layer->cells_beside;
    int32_t ih[BESIDE][MOST_SUMS] __attribute__((aligned(ALIGNED)));
    int32_t hh[BESIDE][MOST_SUMS] __attribute__((aligned(ALIGNED)));
    uint32_t x = digits_beside(&layer->ih, k->reach), r = digits_beside(&layer->hh, k->reach);
    size_t at = (size_t)block * LANES;
    kernel->beside(&layer->ih, block, of.words, x, ih);
    kernel->beside(&layer->hh, block, of.words + columns_of(layer).x * BESIDE, r, hh);
    for (size_t n = 0; n < of.count; n++) {
        finish_one(layer, k, of.lanes[n], block, (struct both){ih[n], hh[n], x, r});
        spread_hidden(layer, of.lanes[n], at);
    }
}

static void project_beside(const struct layer *layer, struct pass_lanes of, uint32_t block)
{
    int32_t sums[BESIDE][MOST_SUMS] __attribute__((aligned(ALIGNED)));
    const struct projection *p = &layer->projection_beside;
    const struct cells *k = &layer->cells_beside;
    struct columns c = columns_of(layer);
    int renewed = layer->wide.cell == CELL_RESET_FIRST;
    uint32_t digits = digits_beside(&layer->hr, renewed ? k->reach : p->reach);
    layer->kernel->beside(&layer->hr, block, of.words + (c.x + c.r) * BESIDE, digits, sums);
    for (size_t n = 0; n < of.count; n++)
        project_one(layer, k, p, of.lanes[n], block, sums[n], digits);
}

static size_t some(size_t left)
{
    return left < MOST_MANY ? left : MOST_MANY;
}

/* Block by block, so that its weights are read once for all lanes. */
void layer_gates(const struct layer *layer, const struct batch *batch, uint32_t first,
                 uint32_t end)
{
    size_t count = batch->count;
    for (uint32_t block = first; layer->kernel && block < end; block++) {
        for (size_t n = 0; n < batch->passes; n++)
            gates_beside(layer, pass_lanes(layer, batch, n), block);
        for (size_t n = batch->passes * BESIDE; n < count; n += MOST_MANY)
            tiled_gates(layer, batch->lanes + n, some(count - n), block);
    }
    for (size_t n = 0; !layer->kernel && n < count; n++)
        plain_gates(layer, batch->lanes[n], first, end);
}

void layer_project(const struct layer *layer, const struct batch *batch, uint32_t first,
                   uint32_t end)
{
    size_t count = batch->count;
    for (uint32_t block = first; layer->kernel && block < end; block++) {
        for (size_t n = 0; n < batch->passes; n++)
            project_beside(layer, pass_lanes(layer, batch, n), block);
        for (size_t n = batch->passes * BESIDE; n < count; n += MOST_MANY)
            tiled_project(layer, batch->lanes + n, some(count - n), block);
    }
    for (size_t n = 0; !layer->kernel && n < count; n++)
        plain_project(layer, batch->lanes[n], first, end);
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
