#include "layer.h"

#include <stdlib.h>
#include <string.h>

#include "plain.h"

#define MOST_ALIGN 7
#define MOST_BITS 16 /* of states and weights, where kernels of bytes take them */
#define NARROWEST 8 /* bits of states up to which two bytes hold an entry of the table */
#define TABLE 256
#define SAFE 4.6e18  /* below 2**62; a bound in double is a little off */

/* What is known of a row: its sum, and how large each digit's sum can be. */
struct row_sums {
    int64_t all;
    double size, low, high;
};

static struct row_sums sums_of(const struct rows *rows, size_t row)
{
    struct row_sums s = {0, 0, 0, 0};
    if (row >= (size_t)rows->of.rows)
        return s;
    for (size_t n = rows->starts[row]; n < rows->starts[row + 1]; n++) {
        int32_t value = rows->values[n], low = ((value + 128) & 255) - 128;
        s.all += value;
        s.size += abs(value);
        s.low += value > LARGEST ? 255 : abs(low); /* the largest digit and what it lacks */
        s.high += abs((value - low) / 256) + 1;
    }
    return s;
}

static double power(int32_t bits)
{
    double value = 1;
    for (; bits > 0; bits--)
        value *= 2;
    return value;
}

static int32_t most_of(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* Shifts of the sum of one group, which may be of one product alone. */
static int scale(struct wide_cells *k, const struct file_layer *of, int group)
{
    int x = order_of(of->cell, 0).gate[group], r = order_of(of->cell, 1).gate[group];
    int32_t ih = x < 0 ? INT32_MIN : of->ih_format[x].fraction + of->input.fraction;
    int32_t hh = r < 0 ? INT32_MIN : of->hh_format[r].fraction + of->output.fraction;
    int32_t point = most_of(most_of(ih, hh), of->state.fraction);
    k->left_ih[group] = x < 0 ? 0 : point - ih;
    k->left_hh[group] = r < 0 ? 0 : point - hh;
    k->right[group] = point - of->state.fraction;
    return k->left_ih[group] <= MOST_ALIGN && k->left_hh[group] <= MOST_ALIGN;
}

static int32_t scales(struct wide_cells *k, const struct file_layer *of)
{
    for (int group = 0; group < GROUPS; group++)
        if (!scale(k, of, group))
            return SPARSEFLOW_RUN_UNSUPPORTED;
    k->cell = of->cell;
    k->bits = of->hidden.bits;
    k->lift = of->hidden.fraction - of->state.fraction;
    k->segments = table_bits(of->state.fraction);
    k->offset_bits = of->state.fraction + 4 - k->segments;
    if (of->hr.starts) {
        int32_t shift = of->hr_format.fraction + of->hidden.fraction - of->output.fraction;
        k->project_left = shift < 0 ? -shift : 0;
        k->project_right = shift > 0 ? shift : 0;
        k->project_bits = of->output.bits;
    }
    return SPARSEFLOW_RUN_OK;
}

/* Sums of the rows of both products that meet in a place of a block. */
struct meeting {
    struct row_sums ih, hh;
    int64_t bias;
};

static struct meeting meeting_of(const struct file_layer *of, uint32_t at)
{
    struct order x = order_of(of->cell, 0), r = order_of(of->cell, 1);
    uint32_t block = at / BLOCK, place = at % BLOCK;
    size_t unit = (size_t)block * LANES + place % LANES, group = place / LANES;
    struct meeting m = {sums_of(&of->ih, tiles_row(&of->ih, &x, block, place)),
                        sums_of(&of->hh, tiles_row(&of->hh, &r, block, place)), 0};
    if (unit < of->units && (group < 3 || of->cell != CELL_RESET_FIRST))
        m.bias = of->bias[group * of->units + unit];
    return m;
}

/* The largest size of a sum before it is shifted right. */
static double gate_bound(const struct wide_cells *k, const struct file_layer *of, int group,
                         struct meeting m)
{
    return m.ih.size * power(of->input.bits - 1 + k->left_ih[group]) +
           m.hh.size * power(of->output.bits - 1 + k->left_hh[group]) +
           power(k->right[group] - 1);
}

static double project_bound(const struct wide_cells *k, const struct file_layer *of, size_t row)
{
    return sums_of(&of->hr, row).size * power(of->hidden.bits - 1) * power(k->project_left) +
           power(k->project_right - 1);
}

/* Whether all sums stay within 64 bits, on any path. */
static int exact(const struct wide_cells *k, const struct file_layer *of)
{
    int good = k->project_right < 63;
    for (int gate = 0; gate < GATES; gate++)
        good = good && k->right[gate] < 63;
    for (uint32_t at = 0; good && at < (of->units + LANES - 1) / LANES * BLOCK; at++)
        good = gate_bound(k, of, (int)(at % BLOCK / LANES), meeting_of(of, at)) < SAFE;
    for (size_t row = 0; good && of->hr.starts && row < of->outputs; row++)
        good = project_bound(k, of, row) < SAFE;
    return good;
}

static struct planes planes_of(const struct kernel *kernel, struct sparseflow_run_format format,
                               uint32_t count)
{
    struct planes p = {.count = format.bits > 8 ? 2 : 1};
    p.stride = ((size_t)count + BLOCK + SLACK + ALIGNED - 1) / ALIGNED * ALIGNED;
    p.offset = (int32_t)1 << (format.bits - 1);
    memcpy(p.flip, kernel->flip[p.count - 1], sizeof p.flip);
    return p;
}

/* What a number is more than its digits, as a kernel takes them. */
static int64_t surplus(const struct planes *p)
{
    int64_t found = -p->offset;
    for (uint32_t n = 0; n < p->count; n++)
        found += p->flip[n] ? (int64_t)128 << 8 * n : 0;
    return found;
}

/* Whether no digit of a row's sums leaves 32 bits. */
static int digits_fit(const struct tiles *t, struct row_sums s)
{
    return 256 * (t->weight_digits > 1 ? s.low + s.high : s.size) < 2.1e9;
}

static int32_t table(struct cells *k, int segments)
{
    int count = 1 << table_bits(k->bits);
    uint32_t *entries = aligned(TABLE * sizeof *entries);
    uint8_t *bytes = aligned(TABLE * sizeof *entries);
    k->table = entries;
    k->bytes = bytes;
    k->rise_bits = k->bits <= NARROWEST && segments == 8 ? 5 : 13;
    if (!entries || !bytes)
        return SPARSEFLOW_RUN_MEMORY;
    for (int n = 0; n < count; n++) {
        int64_t base, rise;
        table_entry(k->bits, segments, n, &base, &rise);
        entries[n] = (uint32_t)(base << k->rise_bits | rise);
        for (int byte = 0; byte < 4; byte++)
            bytes[byte * TABLE + n] = (uint8_t)(entries[n] >> 8 * byte);
    }
    return SPARSEFLOW_RUN_OK;
}

static enum reach further(enum reach one, enum reach other)
{
    return one > other ? one : other;
}

/* Where sums of such bounds fit, `low` of their lowest digits. */
static enum reach reach_of(double bound, double low, int32_t right)
{
    if (right < 31 && bound < 2.1e9)
        return NARROW_SUMS;
    return right >= 8 && right < 39 && bound < 2.7e11 && low < 2.1e9 ? SPLIT_SUMS : WIDE_SUMS;
}

/* The largest digit of a vector, as bytes or as words. */
static double digit_bound(int32_t bits)
{
    return power(most_of(bits - 1, 8));
}

/* The largest size of the sum of lowest digits, words_fit's too. */
static double low_bound(const struct cells *k, const struct file_layer *of, int group,
                        struct meeting m)
{
    return m.ih.low * digit_bound(of->input.bits) * power(k->left_ih[group]) +
           m.hh.low * digit_bound(of->output.bits) * power(k->left_hh[group]) + 256;
}

/* Whether sums of words and digits of weights stay within 32 bits. */
static int words_fit(struct row_sums s)
{
    return 32768 * s.low < 2.1e9 && 32768 * s.high < 2.1e9;
}

static void split_add(int64_t wide, int32_t *low, int32_t *high)
{
    *low = (int32_t)(wide & 255);
    *high = (int32_t)(wide >> 8);
}

/* What each row adds to its sums, where their reach is known. */
static void gate_adds(const struct cells *k, uint32_t rows)
{
    for (uint32_t at = 0; at < rows; at++) {
        int32_t right = k->right[at % BLOCK / LANES];
        split_add(k->add_wide[at], &k->add_low[at], &k->add[at]);
        if (k->reach == NARROW_SUMS)
            k->add[at] = (int32_t)((uint32_t)k->add_wide[at] + ((uint32_t)k->bias[at] << right));
    }
}

static void project_adds(const struct projection *p, uint32_t rows)
{
    for (uint32_t at = 0; at < rows; at++) {
        split_add(p->add_wide[at], &p->add_low[at], &p->add[at]);
        if (p->reach == NARROW_SUMS)
            p->add[at] = (int32_t)(uint32_t)p->add_wide[at];
    }
}

/* Constants of every row of the gates; 0 if kernels of bytes cannot hold its sums. */
static int gate_rows(struct layer *layer, const struct file_layer *of)
{
    struct cells *k = &layer->cells, *beside = &layer->cells_beside;
    uint32_t rows = layer->blocks * BLOCK;
    int fit = 1;
    k->rows = rows;
    layer->words_fit = 1;
    for (uint32_t at = 0; at < rows; at++) {
        int group = (int)(at % BLOCK / LANES);
        struct meeting m = meeting_of(of, at);
        int32_t right = k->right[group];
        uint64_t half = right ? (uint64_t)1 << (right - 1) : 0;
        double bound = gate_bound(&layer->wide, of, group, m) +
                       (double)(m.bias < 0 ? -m.bias : m.bias) * power(right);
        uint64_t moved = ((uint64_t)(m.ih.all * surplus(&layer->x)) << k->left_ih[group]) +
                         ((uint64_t)(m.hh.all * surplus(&layer->r)) << k->left_hh[group]);
        k->reach = further(k->reach, reach_of(bound, low_bound(k, of, group, m), right));
        k->bias[at] = (int32_t)m.bias;
        k->add_wide[at] = (int64_t)(moved + half);
        beside->add_wide[at] = (int64_t)half;
        const struct tiles *hh = &layer->hh;
        if (of->cell == CELL_RESET_FIRST && group == 2)
            hh = &layer->hr;
        fit = fit && digits_fit(&layer->ih, m.ih) && digits_fit(hh, m.hh);
        layer->words_fit = layer->words_fit && words_fit(m.ih) && words_fit(m.hh);
    }
    if (of->cell == CELL_RESET_FIRST && k->reach == SPLIT_SUMS)
        k->reach = WIDE_SUMS; /* what it keeps between its phases is a whole sum */
    gate_adds(k, rows);
    return fit || k->reach != WIDE_SUMS;
}

static int project_rows(struct layer *layer, const struct file_layer *of)
{
    struct projection *p = &layer->projection;
    uint32_t rows = layer->out_blocks * BLOCK;
    int fit = 1;
    for (uint32_t at = 0; at < rows; at++) {
        struct row_sums hr = sums_of(&of->hr, at);
        uint64_t half = p->right ? (uint64_t)1 << (p->right - 1) : 0;
        double bound = hr.size * power(of->hidden.bits - 1 + p->left) + (double)half;
        double low = hr.low * digit_bound(of->hidden.bits) * power(p->left) + 256;
        uint64_t moved = (uint64_t)(hr.all * surplus(&layer->h)) << p->left;
        p->reach = further(p->reach, reach_of(bound, low, p->right));
        p->add_wide[at] = (int64_t)(moved + half);
        layer->projection_beside.add_wide[at] = (int64_t)half;
        fit = fit && digits_fit(&layer->hr, hr);
        layer->words_fit = layer->words_fit && words_fit(hr);
    }
    project_adds(p, rows);
    return fit || p->reach != WIDE_SUMS;
}

/* Words beside bytes: the same cells with constants of their own, as words have no offset. */
static void besides(struct layer *layer)
{
    struct cells k = layer->cells;
    struct projection p = layer->projection;
    k.add = layer->cells_beside.add;
    k.add_low = layer->cells_beside.add_low;
    k.add_wide = layer->cells_beside.add_wide;
    p.add = layer->projection_beside.add;
    p.add_low = layer->projection_beside.add_low;
    p.add_wide = layer->projection_beside.add_wide;
    layer->cells_beside = k;
    layer->projection_beside = p;
    gate_adds(&k, layer->blocks * BLOCK);
    project_adds(&p, layer->out_blocks * BLOCK);
    if (layer->words_fit || (k.reach != WIDE_SUMS && p.reach != WIDE_SUMS))
        layer->beside_from =
            layer->kernel->beside_from[layer->hh.weight_digits - 1][layer->r.count - 1];
}

static int add_room(size_t rows, int32_t **narrow, int32_t **low, int64_t **wide)
{
    *narrow = aligned(rows * sizeof **narrow);
    *low = aligned(rows * sizeof **low);
    *wide = aligned(rows * sizeof **wide);
    return *narrow && *low && *wide;
}

static void adds_free(int32_t *narrow, int32_t *low, int64_t *wide)
{
    free(narrow);
    free(low);
    free(wide);
}

static int32_t room(struct layer *layer)
{
    size_t rows = (size_t)layer->blocks * BLOCK, more = (size_t)layer->out_blocks * BLOCK;
    struct cells *k = &layer->cells, *beside = &layer->cells_beside;
    struct projection *p = &layer->projection, *p_beside = &layer->projection_beside;
    k->bias = aligned(rows * sizeof *k->bias);
    beside->bias = k->bias;
    int good = k->bias != NULL;
    good &= add_room(rows, &k->add, &k->add_low, &k->add_wide);
    good &= add_room(rows, &beside->add, &beside->add_low, &beside->add_wide);
    good &= add_room(more, &p->add, &p->add_low, &p->add_wide);
    good &= add_room(more, &p_beside->add, &p_beside->add_low, &p_beside->add_wide);
    return good ? table(k, layer->wide.segments) : SPARSEFLOW_RUN_MEMORY;
}

static void tiled_free(struct layer *layer)
{
    tiles_free(&layer->ih);
    tiles_free(&layer->hh);
    tiles_free(&layer->hr);
    free((void *)(uintptr_t)layer->cells.table);
    free((void *)(uintptr_t)layer->cells.bytes);
    free(layer->cells.bias);
    adds_free(layer->cells.add, layer->cells.add_low, layer->cells.add_wide);
    adds_free(layer->projection.add, layer->projection.add_low, layer->projection.add_wide);
    struct cells *k = &layer->cells_beside;
    struct projection *p = &layer->projection_beside;
    adds_free(k->add, k->add_low, k->add_wide);
    adds_free(p->add, p->add_low, p->add_wide);
    memset(&layer->cells, 0, sizeof layer->cells);
    memset(&layer->cells_beside, 0, sizeof layer->cells_beside);
    memset(&layer->projection, 0, sizeof layer->projection);
    memset(&layer->projection_beside, 0, sizeof layer->projection_beside);
}

static void constants(struct layer *layer)
{
    const struct wide_cells *w = &layer->wide;
    struct cells *k = &layer->cells;
    k->cell = w->cell;
    k->bits = w->bits;
    k->lift = w->lift;
    k->offset_bits = w->offset_bits;
    k->last = (1 << (w->segments + w->offset_bits)) - 1;
    memcpy(k->left_ih, w->left_ih, sizeof k->left_ih);
    memcpy(k->left_hh, w->left_hh, sizeof k->left_hh);
    memcpy(k->right, w->right, sizeof k->right);
    layer->projection.left = w->project_left;
    layer->projection.right = w->project_right;
    layer->projection.most =
        w->project_bits ? (int32_t)(((int64_t)1 << (w->project_bits - 1)) - 1) : 0;
}

/* Whether bytes hold all numbers of a layer. */
static int bytes_hold(const struct file_layer *of)
{
    int projected = of->hr.starts != NULL;
    return of->input.bits <= MOST_BITS && of->hidden.bits <= MOST_BITS &&
           of->output.bits <= MOST_BITS && of->ih.of.value_bits <= MOST_BITS &&
           of->hh.of.value_bits <= MOST_BITS &&
           (!projected || of->hr.of.value_bits <= MOST_BITS);
}

/* Rows n of weight_hh, which follow those of r and z. */
static struct rows last_gate(const struct file_layer *of)
{
    struct rows rows = of->hh;
    rows.starts += 2 * (size_t)of->units;
    rows.of.rows = of->units;
    return rows;
}

/* Lay a layer out for its kernel; without one where its sums are too large for it. */
static int32_t tiled_make(struct layer *layer, const struct file_layer *of)
{
    const struct kernel *kernel = layer->kernel;
    layer->x = planes_of(kernel, of->input, layer->inputs);
    layer->r = planes_of(kernel, of->output, layer->outputs);
    layer->h = planes_of(kernel, of->hidden, layer->units);
    constants(layer);
    struct order x = order_of(of->cell, 0), r = order_of(of->cell, 1);
    int32_t code = tiles_make(&layer->ih, &of->ih, kernel, layer->x.count, &x);
    int split = of->cell == CELL_RESET_FIRST;
    struct rows n = last_gate(of);
    code = code ? code : tiles_make(&layer->hh, &of->hh, kernel, layer->r.count,
                                    split ? &ROWS_OF_R_AND_Z : &r);
    if (!code && split)
        code = tiles_make(&layer->hr, &n, kernel, layer->h.count, &ROWS_IN_TURN);
    if (!code && of->hr.starts)
        code = tiles_make(&layer->hr, &of->hr, kernel, layer->h.count, &ROWS_IN_TURN);
    layer->blocks = layer->hh.blocks;
    layer->out_blocks = layer->hr.blocks;
    code = code ? code : room(layer);
    if (!code && !(gate_rows(layer, of) && project_rows(layer, of))) {
        tiled_free(layer);
        layer->kernel = NULL;
    }
    if (!code && layer->kernel)
        besides(layer);
    return code;
}

int32_t layer_make(struct layer *layer, const struct file_layer *of, const struct kernel *kernel,
                   uint32_t n, struct sparseflow_run_error *error)
{
    memset(layer, 0, sizeof *layer);
    layer->inputs = of->inputs;
    layer->units = of->units;
    layer->outputs = of->outputs;
    layer->input = of->input;
    layer->hidden = of->hidden;
    layer->state = of->state;
    if (of->cell != CELL_LSTM)
        layer->state = (struct sparseflow_run_format){of->hidden.bits + 2, of->hidden.bits + 1};
    layer->output = of->output;
    layer->weights = of->ih.starts[of->ih.of.rows] + of->hh.starts[of->hh.of.rows] +
                     (of->hr.starts ? of->hr.starts[of->hr.of.rows] : 0);
    if (of->input.bits > 31 || of->output.bits > 31)
        return file_error(error, SPARSEFLOW_RUN_UNSUPPORTED,
                          "layer %u has inputs or outputs of more than 31 bits: pack it narrower",
                          n);
    if (scales(&layer->wide, of))
        return file_error(error, SPARSEFLOW_RUN_UNSUPPORTED,
                          "layer %u: binary points of its products lie more than %d bits apart: "
                          "choose other weight formats",
                          n, MOST_ALIGN);
    if (!exact(&layer->wide, of))
        return file_error(error, SPARSEFLOW_RUN_UNSUPPORTED,
                          "layer %u: a sum could leave 64 bits; use narrower formats", n);
    layer->kernel = kernel && bytes_hold(of) ? kernel : NULL;
    int32_t code = layer->kernel ? tiled_make(layer, of) : SPARSEFLOW_RUN_OK;
    if (!code && !layer->kernel) {
        layer->blocks = (layer->units + LANES - 1) / LANES;
        int follows = of->hr.starts || of->cell == CELL_RESET_FIRST;
        layer->out_blocks = follows ? (layer->outputs + BLOCK - 1) / BLOCK : 0;
        code = plain_make(layer, of);
    }
    if (code)
        file_error(error, code, "layer %u takes more memory than there is", n);
    return code;
}

void layer_free(struct layer *layer)
{
    tiled_free(layer);
    plain_free(layer);
    memset(layer, 0, sizeof *layer);
}

size_t layer_bytes(const struct layer *layer)
{
    if (layer->kernel)
        return layer->ih.bytes + layer->hh.bytes + layer->hr.bytes;
    return (size_t)layer->weights * (sizeof(int32_t) + sizeof(uint32_t));
}
