/* From our header to layers: what csb_format.files.modelfile reads, and refuses. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container.h"
#include "file.h"

#define MOST_LAYERS 4096
#define PLACES ((int64_t)1 << 22) /* as csb_format.files.claims: what a file may claim */
#define PLACES_A_BYTE 1024
#define AGAIN "fetch or save the file again"

struct source {
    struct container c;
    enum cell cell;
    int gates; /* of a cell, whose rows a matrix has */
    struct sparseflow_run_error *error;
    int64_t places;
};

int32_t file_error(struct sparseflow_run_error *error, int32_t code, const char *text, ...)
{
    if (error) {
        va_list given;
        va_start(given, text);
        error->code = code;
        vsnprintf(error->text, sizeof error->text, text, given);
        va_end(given);
    }
    return code;
}

static int32_t bad(struct source *s, const char *what, const char *why)
{
    return file_error(s->error, SPARSEFLOW_RUN_FORMAT, "%s %s: " AGAIN, what, why);
}

static const struct json_node *member(struct source *s, const struct json_node *node,
                                      const char *key)
{
    return json_member(&s->c.header, node, key);
}

/* Whether an object has no key but these, a list that ends with NULL. */
static int only(struct source *s, const struct json_node *node, const char *const *keys)
{
    const struct json_node *n = json_first(&s->c.header, node);
    for (; n; n = json_next(&s->c.header, n)) {
        const char *const *key = keys;
        while (*key && (strlen(*key) != n->key_length || memcmp(*key, n->key, n->key_length)))
            key++;
        if (!*key)
            return 0;
    }
    return 1;
}

static int whole(struct source *s, const struct json_node *node, const char *key, int64_t low,
                 int64_t high, int64_t *value)
{
    const struct json_node *found = member(s, node, key);
    if (!found || found->kind != JSON_INTEGER || found->number < low || found->number > high)
        return 0;
    *value = found->number;
    return 1;
}

static int format_of(struct source *s, const struct json_node *node,
                     struct sparseflow_run_format *format)
{
    static const char *const keys[] = {"width", "frac", NULL};
    int64_t width, frac;
    if (!only(s, node, keys) || !whole(s, node, "width", 2, 48, &width) ||
        !whole(s, node, "frac", -32, 64, &frac))
        return 0;
    format->bits = (int32_t)width;
    format->fraction = (int32_t)frac;
    return 1;
}

/* One format for all gates, or a list of one for each. */
static int formats_of(struct source *s, const struct json_node *node,
                      struct sparseflow_run_format formats[GATES])
{
    if (node && node->kind == JSON_ARRAY) {
        const struct json_node *n = json_first(&s->c.header, node);
        if (node->count != (uint32_t)s->gates)
            return 0;
        for (int gate = 0; gate < s->gates; gate++, n = json_next(&s->c.header, n))
            if (!format_of(s, n, &formats[gate]))
                return 0;
        return 1;
    }
    if (!format_of(s, node, &formats[0]))
        return 0;
    for (int gate = 1; gate < GATES; gate++)
        formats[gate] = formats[0];
    return 1;
}

/* k of each gate, if they differ: the largest is that of the matrix. */
static int parts_of(struct source *s, const struct json_node *node, struct geometry *of)
{
    of->parts = 0;
    if (!node)
        return 1;
    if (node->kind != JSON_ARRAY || node->count != (uint32_t)s->gates || of->rows % s->gates)
        return 0;
    int64_t most = 0, least = INT64_MAX;
    const struct json_node *n = json_first(&s->c.header, node);
    for (of->parts = 0; n; n = json_next(&s->c.header, n)) {
        if (n->kind != JSON_INTEGER || n->number < 0)
            return 0;
        of->part[of->parts++] = n->number;
        most = n->number > most ? n->number : most;
        least = n->number < least ? n->number : least;
    }
    return most == of->nonzeros && least < most;
}

static int geometry_of(struct source *s, const struct json_node *node, struct geometry *of)
{
    static const char *const keys[] = {"rows",     "columns",    "banks", "bank_width",
                                       "nonzeros", "value_bits", "parts", NULL};
    const int64_t most = INT32_MAX, spare = 64; /* banks of a narrow input that are padding */
    if (!only(s, node, keys) || !whole(s, node, "rows", 1, most, &of->rows) ||
        !whole(s, node, "columns", 1, most, &of->columns) ||
        !whole(s, node, "banks", 1, of->columns > spare ? of->columns : spare, &of->banks) ||
        !whole(s, node, "bank_width", 1, 65536, &of->bank_width) ||
        !whole(s, node, "nonzeros", 0, of->bank_width, &of->nonzeros) ||
        !whole(s, node, "value_bits", 4, 18, &of->value_bits))
        return 0;
    return of->banks * of->bank_width >= of->columns && parts_of(s, member(s, node, "parts"), of);
}

/* A matrix by its geometry: claims are checked before memory is taken for them. */
static int32_t matrix_of(struct source *s, const struct json_node *node, const char *name,
                         struct rows *rows)
{
    struct geometry of;
    if (!geometry_of(s, node, &of))
        return bad(s, name, "has no possible geometry");
    int64_t most = PLACES + PLACES_A_BYTE * (int64_t)s->c.whole;
    int64_t width = of.banks * of.bank_width; /* below 2**47 */
    if (of.rows > most / width || (s->places += of.rows * width) > most)
        return bad(s, name, "claims more places than a file of its size has");
    const uint8_t *bytes;
    int64_t axes[2] = {(packed_bits(&of) + 7) / 8, -1};
    int32_t code = container_tensor(&s->c, name, "U8", axes, &bytes, s->error);
    return code ? code : rows_read(rows, &of, bytes, (size_t)axes[0], name, s->error);
}

/* A copy of a tensor of int64, every number within so many bits. */
static int32_t integers_of(struct source *s, const char *name, int64_t rows, int64_t columns,
                           int32_t bits, int64_t **found)
{
    const uint8_t *bytes;
    int64_t axes[2] = {rows, columns}, count = columns < 0 ? rows : rows * columns;
    int32_t code = container_tensor(&s->c, name, "I64", axes, &bytes, s->error);
    if (code)
        return code;
    *found = malloc((size_t)count * sizeof **found);
    if (!*found)
        return file_error(s->error, SPARSEFLOW_RUN_MEMORY, "no memory for tensor '%s'", name);
    memcpy(*found, bytes, (size_t)count * sizeof **found);
    for (int64_t n = 0; n < count; n++)
        if (!fits((*found)[n], bits))
            return bad(s, name, "has a number beyond its format");
    return SPARSEFLOW_RUN_OK;
}

static int32_t projection_of(struct source *s, const struct json_node *node, const char *name,
                             struct file_layer *layer)
{
    static const char *const keys[] = {"weight_hr", "formats", NULL};
    static const char *const format_keys[] = {"weight_format", "output", NULL};
    const struct json_node *formats = member(s, node, "formats");
    char tensor[48];
    snprintf(tensor, sizeof tensor, "%s.weight_hr", name);
    if (node->kind != JSON_OBJECT || !only(s, node, keys) || !only(s, formats, format_keys) ||
        !format_of(s, member(s, formats, "weight_format"), &layer->hr_format) ||
        !format_of(s, member(s, formats, "output"), &layer->output))
        return bad(s, tensor, "has no possible formats");
    return matrix_of(s, member(s, node, "weight_hr"), tensor, &layer->hr);
}

static int sizes_right(struct file_layer *layer, int gates)
{
    const struct geometry *ih = &layer->ih.of, *hh = &layer->hh.of, *hr = &layer->hr.of;
    int64_t units = hh->rows / gates;
    int right = hh->rows % gates == 0 && ih->rows == hh->rows;
    if (layer->hr.starts)
        right = right && layer->cell == CELL_LSTM && hr->rows == hh->columns && hr->columns == units &&
                hr->value_bits == layer->hr_format.bits;
    else
        right = right && hh->columns == units;
    for (int gate = 0; gate < gates; gate++)
        right = right && layer->ih_format[gate].bits == ih->value_bits &&
                layer->hh_format[gate].bits == hh->value_bits;
    layer->inputs = (uint32_t)ih->columns;
    layer->units = (uint32_t)units;
    layer->outputs = (uint32_t)hh->columns;
    return right;
}

/* The formats that a cell of a width has: no other is computed by anything of ours. States
 * reach from 8 to 128, and have 3 bits of fraction at least. */
static int cell_right(const struct file_layer *layer)
{
    int32_t a = layer->hidden.bits, fraction = layer->state.fraction;
    return a >= 6 && a <= 18 && layer->hidden.fraction == a - 1 && layer->state.bits == a + 2 &&
           fraction <= a - 2 && fraction >= a - 6 && fraction >= 3;
}

static int layer_formats(struct source *s, const struct json_node *node, struct file_layer *layer)
{
    static const char *const keys[] = {"input",            "hidden",           "state",
                                       "weight_ih_format", "weight_hh_format", NULL};
    int right = only(s, node, keys) && format_of(s, member(s, node, "input"), &layer->input) &&
                format_of(s, member(s, node, "hidden"), &layer->hidden) &&
                format_of(s, member(s, node, "state"), &layer->state) &&
                formats_of(s, member(s, node, "weight_ih_format"), layer->ih_format) &&
                formats_of(s, member(s, node, "weight_hh_format"), layer->hh_format);
    layer->output = layer->hidden;
    return right;
}

static int32_t layer_of(struct source *s, const struct json_node *node, uint32_t n,
                        struct file_layer *layer)
{
    static const char *const keys[] = {"weight_ih", "weight_hh", "formats", "projection", NULL};
    char name[32], tensor[48];
    snprintf(name, sizeof name, "layers.%u", n);
    if (!only(s, node, keys) || !layer_formats(s, member(s, node, "formats"), layer))
        return bad(s, name, "has no possible formats");
    snprintf(tensor, sizeof tensor, "%s.weight_ih", name);
    int32_t code = matrix_of(s, member(s, node, "weight_ih"), tensor, &layer->ih);
    if (code)
        return code;
    snprintf(tensor, sizeof tensor, "%s.weight_hh", name);
    code = matrix_of(s, member(s, node, "weight_hh"), tensor, &layer->hh);
    const struct json_node *projection = member(s, node, "projection");
    if (!code && projection && projection->kind != JSON_NULL)
        code = projection_of(s, projection, name, layer);
    if (code)
        return code;
    layer->cell = s->cell;
    if (!sizes_right(layer, s->gates))
        return bad(s, name, "has matrices that do not fit each other");
    if (!cell_right(layer))
        return file_error(s->error, SPARSEFLOW_RUN_UNSUPPORTED,
                          "%s has gates of %d bits and states of %d, %d and %d of them fraction: "
                          "no cell has these; pack the model again",
                          name, layer->hidden.bits, layer->state.bits, layer->hidden.fraction,
                          layer->state.fraction);
    snprintf(tensor, sizeof tensor, "%s.bias", name);
    int64_t sums = layer->cell == CELL_RESET_FIRST ? 3 : GATES;
    return integers_of(s, tensor, sums * layer->units, -1, layer->state.bits, &layer->bias);
}

static int bit_length(uint32_t value)
{
    int bits = 0;
    for (; value; value >>= 1)
        bits++;
    return bits;
}

/* Shifts of a head in planes; its tensors are read in screen.c. */
static int32_t screen_of(struct source *s, const struct json_node *node, struct file_head *head)
{
    static const char *const keys[] = {"bits", "prior", "far", "norm", "typical", NULL};
    int64_t bits, prior, far, norm, version;
    if (node->kind != JSON_OBJECT || !only(s, node, keys) ||
        !whole(s, node, "bits", 5, 17, &bits) || !whole(s, node, "prior", 0, 40, &prior) ||
        !whole(s, node, "far", 0, 40, &far) || !whole(s, node, "norm", 0, 40, &norm) ||
        !whole(s, node, "typical", 0, (1 << 24) - 1, &head->screen.typical) ||
        !whole(s, &s->c.header.nodes[0], "format_version", 3, 3, &version) ||
        head->weight_format.bits > 16 || head->input.bits > 16 || head->inputs > SCREEN_COLUMNS)
        return bad(s, "its screen", "has no possible numbers");
    head->screen.bits = (int32_t)bits;
    head->screen.prior_shift = (int32_t)prior;
    head->screen.far_shift = (int32_t)far;
    head->screen.norm_shift = (int32_t)norm;
    return screen_read(&s->c, head, s->error);
}

/* Rows of few bits, each with a shift: from their tensors to whole numbers. */
static int32_t rows_of(struct source *s, const struct json_node *node, const char *name,
                       struct file_head *head)
{
    char tensor[48];
    static const char *const keys[] = {"bits", NULL};
    int64_t bits, version, most = head->weight_format.bits;
    if (node->kind != JSON_OBJECT || !only(s, node, keys) || !whole(s, node, "bits", 4, most, &bits) ||
        !whole(s, &s->c.header.nodes[0], "format_version", 4, 5, &version))
        return bad(s, "its rows", "have no possible bits");
    size_t size = ((size_t)bits * head->inputs + 7) / 8, used = (size_t)bits * head->inputs % 8;
    int64_t of_rows[2] = {head->outputs, (int64_t)size}, of_shifts[2] = {head->outputs, -1};
    const uint8_t *row = NULL, *shift = NULL;
    snprintf(tensor, sizeof tensor, "%s.rows", name);
    int32_t code = container_tensor(&s->c, tensor, "U8", of_rows, &row, s->error);
    snprintf(tensor, sizeof tensor, "%s.shifts", name);
    if (!code)
        code = container_tensor(&s->c, tensor, "U8", of_shifts, &shift, s->error);
    if (code)
        return code;
    head->shifted = 1;
    head->weight = malloc(sizeof *head->weight * head->outputs * head->inputs);
    if (!head->weight)
        return file_error(s->error, SPARSEFLOW_RUN_MEMORY, "no memory for the head");
    int64_t *to = head->weight, half = (int64_t)1 << (bits - 1);
    for (uint32_t n = 0; n < head->outputs; n++, row += size) {
        if (shift[n] > most - bits || (used && row[size - 1] >> used))
            return bad(s, "its rows", "hold what no head has");
        for (uint32_t column = 0; column < head->inputs; column++) {
            int64_t value = 0;
            for (int64_t b = 0, at = (int64_t)column * bits; b < bits; b++, at++)
                value |= (int64_t)(row[at / 8] >> at % 8 & 1) << b;
            *to++ = ((value ^ half) - half) * ((int64_t)1 << shift[n]);
        }
    }
    return SPARSEFLOW_RUN_OK;
}

/* One linear layer of a head, by its name in the file. */
static int32_t linear_of(struct source *s, const struct json_node *node, const char *name,
                         struct file_head *head)
{
    static const char *const keys[] = {"outputs", "inputs", "formats", "screen",
                                       "rows",    "hidden", NULL};
    char tensor[48];
    static const char *const format_keys[] = {"weight_format", "input", NULL};
    const struct json_node *formats = member(s, node, "formats");
    int64_t outputs, inputs, most = 1 << 24;
    const struct json_node *screen = member(s, node, "screen"), *rows = member(s, node, "rows");
    if (screen && (head->deep || strcmp(name, "head")))
        return file_error(s->error, SPARSEFLOW_RUN_FORMAT,
                          "%s lies in planes, which is read of a head of one layer alone: "
                          "write the layers of this head without planes", name);
    if (!node || (screen && rows) || node->kind != JSON_OBJECT || !only(s, node, keys) || !only(s, formats, format_keys) ||
        !whole(s, node, "outputs", 1, most, &outputs) ||
        !whole(s, node, "inputs", 1, most, &inputs) ||
        !format_of(s, member(s, formats, "weight_format"), &head->weight_format) ||
        !format_of(s, member(s, formats, "input"), &head->input) ||
        head->weight_format.bits + head->input.bits - 2 + bit_length((uint32_t)inputs) > 62)
        return bad(s, "head", "has no possible sizes or formats");
    head->outputs = (uint32_t)outputs;
    head->inputs = (uint32_t)inputs;
    snprintf(tensor, sizeof tensor, "%s.bias", name);
    int32_t code = integers_of(s, tensor, outputs, -1, 48, &head->bias);
    if (code)
        return code;
    if (rows)
        return rows_of(s, rows, name, head);
    snprintf(tensor, sizeof tensor, "%s.weight", name);
    return screen ? screen_of(s, screen, head)
                  : integers_of(s, tensor, outputs, inputs, head->weight_format.bits,
                                &head->weight);
}

/* Whether sums of each layer become what the next one takes: csb_format.shape.DenseShape. */
static int hidden_right(const struct file_head *head)
{
    for (uint32_t n = 0; n < head->deep; n++) {
        const struct file_head *giver = &head->hidden[n];
        const struct file_head *taker = n + 1 < head->deep ? giver + 1 : head;
        int shift = head_shift(giver, taker);
        if (taker->inputs != giver->outputs || shift < 0 || shift > 62 || taker->input.bits > 32)
            return 0;
    }
    return 1;
}

static int32_t head_of(struct source *s, const struct json_node *node, struct file_head *head)
{
    const struct json_node *hidden = member(s, node, "hidden"), *n = json_first(&s->c.header, hidden);
    int64_t version;
    int32_t code = SPARSEFLOW_RUN_OK;
    if (hidden && (hidden->kind != JSON_ARRAY || !hidden->count || hidden->count > MOST_LAYERS ||
                   !whole(s, &s->c.header.nodes[0], "format_version", 5, 5, &version)))
        return bad(s, "its head", "has no possible hidden layers");
    if (hidden && !(head->hidden = calloc(hidden->count, sizeof *head->hidden)))
        return file_error(s->error, SPARSEFLOW_RUN_MEMORY, "no memory for the head");
    for (; hidden && n && !code; n = json_next(&s->c.header, n)) {
        char name[32];
        snprintf(name, sizeof name, "head.hidden.%u", head->deep);
        code = member(s, n, "hidden") ? bad(s, name, "has hidden layers of its own")
                                      : linear_of(s, n, name, &head->hidden[head->deep++]);
    }
    code = code ? code : linear_of(s, node, "head", head);
    return code || hidden_right(head) ? code
                                      : bad(s, "its head", "has layers that do not fit each other");
}

static int same(struct sparseflow_run_format a, struct sparseflow_run_format b)
{
    return a.bits == b.bits && a.fraction == b.fraction;
}

/* Whether what takes all outputs of a level has their number and format. */
static int joint(const struct file_model *m, uint32_t level, uint32_t inputs,
                 struct sparseflow_run_format input)
{
    uint64_t size = 0;
    int right = 1;
    for (uint32_t d = 0; d < m->directions; d++) {
        const struct file_layer *layer = &m->layer[level * m->directions + d];
        size += layer->outputs;
        right = right && same(layer->output, input);
    }
    return right && size == inputs;
}

static int32_t check_joints(struct source *s, const struct file_model *m)
{
    uint32_t levels = m->layers / m->directions;
    for (uint32_t n = m->directions; n < m->layers; n++)
        if (!joint(m, n / m->directions - 1, m->layer[n].inputs, m->layer[n].input))
            return bad(s, "its layers", "do not fit each other");
    for (uint32_t n = 0; n < m->layers; n += m->directions)
        for (uint32_t d = 1; d < m->directions; d++)
            if (m->layer[n].inputs != m->layer[n + d].inputs ||
                !same(m->layer[n].input, m->layer[n + d].input))
                return bad(s, "its directions", "take different inputs");
    const struct file_head *first = head_first(&m->head);
    if (m->head.outputs && !joint(m, levels - 1, first->inputs, first->input))
        return bad(s, "its head", "does not fit the last layer");
    return SPARSEFLOW_RUN_OK;
}

static int pool_of(struct source *s, const struct json_node *node, uint32_t *pool)
{
    static const char *const names[] = {"last", "hn", "mean", "every"};
    (void)s;
    *pool = SPARSEFLOW_RUN_LAST;
    for (uint32_t n = 0; node && n < 4; n++)
        if (json_is(node, names[n]))
            *pool = n;
    return !node || json_is(node, names[*pool]);
}

/* Names of tensors are those of layers, head and scale: nothing more is in the file. */
static int tensors_known(struct source *s, const struct file_model *m, int scaled)
{
    uint32_t count = 1 + (m->head.outputs ? 2 : 0) + (scaled ? 2 : 0); /* 1: the metadata */
    count += m->head.shifted;
    for (uint32_t n = 0; n < m->head.deep; n++)
        count += 2 + m->head.hidden[n].shifted;
    if (m->head.screen.weight)
        count += m->head.screen.bits > SCREEN_LEAST ? 6 : 5;
    for (uint32_t n = 0; n < m->layers; n++)
        count += m->layer[n].hr.starts ? 4 : 3;
    return s->c.outer.nodes[0].count == count;
}

/* The cell of all layers; a file that names none holds LSTMs. */
static int32_t check_cell(struct source *s, const struct json_node *root)
{
    const struct json_node *order = member(s, root, "gate_order");
    const struct json_node *cell = member(s, root, "cell");
    s->cell = json_is(cell, "gru")    ? CELL_GRU
              : json_is(cell, "gru0") ? CELL_RESET_FIRST
                                      : CELL_LSTM;
    s->gates = s->cell == CELL_LSTM ? 4 : 3;
    if (cell && s->cell == CELL_LSTM && !json_is(cell, "lstm"))
        return file_error(s->error, SPARSEFLOW_RUN_UNSUPPORTED,
                          "cell '%.40s': this library knows lstm, gru and gru0; train one of these",
                          cell->kind == JSON_TEXT ? cell->text : "?");
    if (!json_is(order, s->cell == CELL_LSTM ? "ifgo" : "rzn"))
        return bad(s, "its gate order", "is not that of its cell");
    return SPARSEFLOW_RUN_OK;
}

/* The range of each layer's states; a file that says nothing has 16 everywhere. */
static int reach_right(struct source *s, const struct json_node *given, const struct file_model *m)
{
    const struct json_node *n = json_first(&s->c.header, given);
    if (given && (given->kind != JSON_ARRAY || given->count != m->layers))
        return 0;
    for (uint32_t layer = 0; layer < m->layers; layer++) {
        const struct file_layer *of = &m->layer[layer];
        int64_t reach = (int64_t)1 << (of->state.bits - 1 - of->state.fraction);
        if (given ? n->kind != JSON_INTEGER || n->number != reach : reach != 16)
            return 0;
        n = given ? json_next(&s->c.header, n) : NULL;
    }
    return 1;
}

/* A name for each output of the head, which nothing here needs. */
static int names_right(struct source *s, const struct json_node *names, const struct file_head *head)
{
    const struct json_node *n = json_first(&s->c.header, names);
    for (; n; n = json_next(&s->c.header, n))
        if (n->kind != JSON_TEXT)
            return 0;
    return !names || (names->kind == JSON_ARRAY && names->count == head->outputs);
}

/* The scale of raw features, which the caller applies: docs/specification.md. */
static int32_t check_scale(struct source *s, const struct json_node *scale, uint32_t inputs)
{
    static const char *const keys[] = {"inputs", NULL};
    static const char *const tensors[] = {"input.mean", "input.factor"};
    int64_t size, axes[2] = {inputs, -1};
    const uint8_t *bytes;
    if (!scale)
        return SPARSEFLOW_RUN_OK;
    if (scale->kind != JSON_OBJECT || !only(s, scale, keys) ||
        !whole(s, scale, "inputs", inputs, inputs, &size))
        return bad(s, "its input scale", "does not fit the first layer");
    int32_t code = container_tensor(&s->c, tensors[0], "F64", axes, &bytes, s->error);
    return code ? code : container_tensor(&s->c, tensors[1], "F64", axes, &bytes, s->error);
}

static int32_t model_of(struct source *s, struct file_model *m)
{
    static const char *const keys[] = {"kind", "format_version", "gate_order", "layers", "head",
                                       "provenance", "directions", "pool", "sha256", "cell",
                                       "input_scale", "label_names", "reach", NULL};
    const struct json_node *root = &s->c.header.nodes[0], *layers = member(s, root, "layers");
    int64_t directions;
    int32_t code = check_cell(s, root);
    if (code)
        return code;
    if (!only(s, root, keys) || !layers || layers->kind != JSON_ARRAY || !layers->count ||
        layers->count > MOST_LAYERS || !whole(s, root, "directions", 1, 2, &directions) ||
        layers->count % (uint32_t)directions || !pool_of(s, member(s, root, "pool"), &m->pool))
        return bad(s, "its header", "names something that no model has");
    m->directions = (uint32_t)directions;
    m->layer = calloc(layers->count, sizeof *m->layer);
    if (!m->layer)
        return file_error(s->error, SPARSEFLOW_RUN_MEMORY, "no memory for the layers");
    const struct json_node *n = json_first(&s->c.header, layers);
    for (; n && !code; n = json_next(&s->c.header, n), m->layers++)
        code = layer_of(s, n, m->layers, &m->layer[m->layers]);
    const struct json_node *head = member(s, root, "head");
    if (!code && head && head->kind != JSON_NULL)
        code = head_of(s, head, &m->head);
    if (!code)
        code = check_joints(s, m);
    if (!code && !reach_right(s, member(s, root, "reach"), m))
        code = bad(s, "its reach", "is not that of its states");
    const struct json_node *scale = member(s, root, "input_scale");
    if (!code)
        code = check_scale(s, scale, m->layer[0].inputs);
    if (!code && !names_right(s, member(s, root, "label_names"), &m->head))
        code = bad(s, "its label names", "are not one text for each output of the head");
    if (!code && !tensors_known(s, m, scale != NULL))
        code = bad(s, "it", "has tensors that no model has");
    return code;
}

int32_t file_read(struct file_model *model, const uint8_t *bytes, size_t count,
                  struct sparseflow_run_error *error)
{
    struct source s = {.error = error, .places = 0};
    memset(model, 0, sizeof *model);
    int32_t code = container_read(&s.c, bytes, count, error);
    if (!code)
        code = model_of(&s, model);
    container_free(&s.c);
    return code;
}

void head_free(struct file_head *head)
{
    for (uint32_t n = 0; n < head->deep; n++)
        head_free(&head->hidden[n]);
    free(head->hidden);
    free(head->weight);
    free(head->bias);
    screen_free(&head->screen);
}

void file_free(struct file_model *model)
{
    for (uint32_t n = 0; model->layer && n < model->layers; n++) {
        rows_free(&model->layer[n].ih);
        rows_free(&model->layer[n].hh);
        rows_free(&model->layer[n].hr);
        free(model->layer[n].bias);
    }
    free(model->layer);
    head_free(&model->head);
    memset(model, 0, sizeof *model);
}
