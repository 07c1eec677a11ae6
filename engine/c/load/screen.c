/* Heads in planes: their tensors, and whether what they say of rows proves anything. */
#include <stdlib.h>
#include <string.h>

#include "container.h"
#include "file.h"

#define AGAIN "fetch or save the file again"
#define PLANES 3

int64_t root_above(int64_t square)
{
    uint64_t left = (uint64_t)square, root = 0, bit = (uint64_t)1 << 62;
    while (bit > left)
        bit >>= 2;
    for (; bit; bit >>= 2) {
        int more = left >= root + bit;
        left -= more ? root + bit : 0;
        root = (root >> 1) + (more ? bit : 0);
    }
    return (int64_t)(root + (left != 0));
}

void screen_free(struct file_screen *screen)
{
    free(screen->first);
    free(screen->second);
    free(screen->order);
    free(screen->blocks);
    free(screen->weight);
    memset(screen, 0, sizeof *screen);
}

static void *copied(const uint8_t *bytes, size_t size)
{
    void *to = malloc(size);
    return to ? memcpy(to, bytes, size) : NULL;
}

/* A tensor of rows of bytes. */
static int32_t rows_of(const struct container *c, const char *name, int64_t rows, int64_t size,
                       void **to, struct sparseflow_run_error *error)
{
    int64_t axes[2] = {rows, size};
    const uint8_t *bytes;
    int32_t code = container_tensor(c, name, "U8", axes, &bytes, error);
    if (code)
        return code;
    *to = copied(bytes, (size_t)(rows * size));
    return *to ? SPARSEFLOW_RUN_OK
               : file_error(error, SPARSEFLOW_RUN_MEMORY, "no memory for tensor '%s'", name);
}

struct plane {
    const uint8_t *bytes;
    int bits;
    size_t size; /* of a row, in bytes */
};

static uint32_t field(const uint8_t *row, size_t bit, int bits)
{
    uint32_t found = 0;
    for (int n = 0; n < bits; n++, bit++)
        found |= (uint32_t)(row[bit / 8] >> bit % 8 & 1) << n;
    return found;
}

static int padded(const struct plane *p, size_t row, uint32_t columns)
{
    size_t used = (size_t)p->bits * columns;
    return used % 8 && p->bytes[(row + 1) * p->size - 1] >> used % 8;
}

/* What no weight is. */
#define NO_WEIGHT INT32_MIN

static int32_t weight_of(struct cells_of_row of, uint32_t first, uint32_t second, uint32_t rest)
{
    int below = first >> 1, large = (int)(first & 1) ^ below, folded = large && of.fold;
    int low = folded ? of.width - 4 : of.width - SCREEN_LEAST - of.fold;
    int32_t size = (int32_t)(((second + (large && !of.fold ? 8u : 0u)) << low) + rest);
    if (rest >> low || (size >> (of.width - 2 - of.fold) != 0) != large)
        return NO_WEIGHT;
    return (below ? ~size : size) * (1 << of.shift);
}

/* A row's weights; 0 if bits are set that must not be. */
static int row_of(const struct plane *planes, size_t row, const struct file_head *head)
{
    struct cells_of_row of = screen_cells(head->screen.second[row]);
    int16_t *to = head->screen.weight + row * head->inputs;
    for (int n = 0; n < PLANES; n++)
        if (planes[n].bits && padded(&planes[n], row, head->inputs))
            return 0;
    for (uint32_t column = 0; column < head->inputs; column++) {
        uint32_t fields[PLANES] = {0, 0, 0}; /* the last plane is missing where it has no bits */
        for (int n = 0; n < PLANES; n++)
            if (planes[n].bits)
                fields[n] = field(planes[n].bytes + row * planes[n].size,
                                  (size_t)planes[n].bits * column, planes[n].bits);
        int32_t weight = weight_of(of, fields[0], fields[1], fields[2]);
        if (!fits(weight, head->weight_format.bits))
            return 0;
        to[column] = (int16_t)weight;
    }
    return 1;
}

/* Whether all rows have cells, and these take as many bits as there are. */
static int cells_right(const struct file_head *head)
{
    int32_t most = 0;
    for (uint32_t row = 0; row < head->outputs; row++) {
        struct cells_of_row of = screen_cells(head->screen.second[row]);
        int32_t bits = of.width + (of.fold > 0);
        if (of.width < SCREEN_LEAST || of.shift > 11 || of.fold > SCREEN_FOLD ||
            of.fold > of.width - SCREEN_LEAST)
            return 0;
        most = bits > most ? bits : most;
    }
    return most == head->screen.bits;
}

static int32_t planes_of(const struct container *c, struct plane *planes, struct file_head *head,
                         struct sparseflow_run_error *error)
{
    static const char *const names[PLANES] = {"head.planes.0", "head.planes.1", "head.planes.2"};
    const int bits[PLANES] = {2, 3, head->screen.bits - SCREEN_LEAST};
    int32_t code = SPARSEFLOW_RUN_OK;
    for (int n = 0; !code && n < PLANES; n++) {
        planes[n].bits = bits[n];
        planes[n].size = ((size_t)planes[n].bits * head->inputs + 7) / 8;
        int64_t axes[2] = {head->outputs, (int64_t)planes[n].size};
        if (planes[n].bits)
            code = container_tensor(c, names[n], "U8", axes, &planes[n].bytes, error);
    }
    return code;
}

int32_t screen_read(const struct container *c, struct file_head *head,
                    struct sparseflow_run_error *error)
{
    struct file_screen *s = &head->screen;
    struct plane planes[PLANES];
    int64_t rows = head->outputs, blocks = (rows + SCREEN_BLOCK - 1) / SCREEN_BLOCK;
    memset(planes, 0, sizeof planes);
    int32_t code = planes_of(c, planes, head, error);
    code = code ? code : rows_of(c, "head.first", rows, 4, (void **)&s->first, error);
    code = code ? code : rows_of(c, "head.second", rows, 4, (void **)&s->second, error);
    code = code ? code : rows_of(c, "head.order", rows, 4, (void **)&s->order, error);
    code = code ? code : rows_of(c, "head.blocks", blocks, 4, (void **)&s->blocks, error);
    if (code)
        return code;
    s->weight = malloc((size_t)rows * head->inputs * sizeof *s->weight);
    if (!s->weight)
        return file_error(error, SPARSEFLOW_RUN_MEMORY, "no memory for the head");
    if (!cells_right(head))
        return file_error(error, SPARSEFLOW_RUN_FORMAT,
                          "its screen has cells that no row has: " AGAIN);
    int right = 1;
    for (size_t row = 0; right && row < (size_t)rows; row++)
        right = row_of(planes, row, head);
    const char *wrong = right ? screen_wrong(head) : "has digits that no weight has";
    return wrong ? file_error(error, SPARSEFLOW_RUN_FORMAT, "its screen %s: " AGAIN, wrong)
                 : SPARSEFLOW_RUN_OK;
}

static int permutation(const uint32_t *order, uint32_t count)
{
    uint8_t *seen = calloc(count, 1);
    int right = seen != NULL;
    for (uint32_t n = 0; right && n < count; n++) {
        right = order[n] < count && !seen[order[n]];
        if (right)
            seen[order[n]] = 1;
    }
    free(seen);
    return right;
}

/* Squared norms of a row, and of what its first digits and its first four leave, all of weights
 * with SCREEN_FRACTION more bits. */
struct left {
    int64_t all, first, second;
};

static struct left left_of(const struct file_head *head, size_t row)
{
    const struct file_screen *s = &head->screen;
    const int16_t *weight = s->weight + row * head->inputs;
    struct cells_of_row of = screen_cells(s->second[row]);
    int unit = of.width - 6 - of.fold + of.shift + SCREEN_FRACTION;
    int64_t scale = (int64_t)(s->first[row] >> 12 & 255) << (s->first[row] >> 28);
    struct left sum = {0, 0, 0};
    for (uint32_t column = 0; column < head->inputs; column++) {
        int32_t w = weight[column];
        int64_t full = (int64_t)w * 256, one = full - scale * screen_first(of, w);
        int64_t two = full - (int64_t)screen_second(of, w) * (1 << unit);
        sum.all += full * full;
        sum.first += one * one;
        sum.second += two * two;
    }
    return sum;
}

/* Whether norm * 2**shift covers the root of a square, and its share of the whole row. */
static int covers(int64_t norm, int shift, int64_t left, int64_t all, int64_t share)
{
    int64_t held = norm << shift;
    return held >= root_above(left) && held * share >= root_above(all);
}

static const char *row_wrong(const struct file_head *head, size_t row)
{
    const struct file_screen *s = &head->screen;
    int lift = screen_lift(head->inputs);
    int second = screen_second_shift(screen_cells(s->second[row]), lift);
    uint32_t first = s->first[row];
    struct left left = left_of(head, row);
    if ((int64_t)screen_prior(first) * ((int64_t)1 << s->prior_shift) < head->bias[s->order[row]])
        return "has a prior that does not cover its row";
    if (!covers(first >> 20 & 255, (int)(first >> 28) + lift, left.first, left.all,
                SCREEN_SHARE_1) ||
        !covers(s->second[row] & 0xffff, second, left.second, left.all, SCREEN_SHARE_2))
        return "has a norm that does not cover its row";
    return NULL;
}

static int block_covers(const struct file_head *head, size_t row)
{
    const struct file_screen *s = &head->screen;
    uint32_t block = s->blocks[row / SCREEN_BLOCK];
    int64_t norm = (root_above(left_of(head, row).all) + 255) >> SCREEN_FRACTION;
    int64_t far = (int64_t)(int16_t)(block & 0xffff) * ((int64_t)1 << s->far_shift);
    int64_t most = (int64_t)(block >> 16 & 255) << s->norm_shift;
    int64_t least = (int64_t)(block >> 24) << s->norm_shift;
    return far >= head->bias[s->order[row]] + norm * s->typical && most >= norm && least <= norm;
}

const char *screen_wrong(const struct file_head *head)
{
    const char *wrong = NULL;
    if (!permutation(head->screen.order, head->outputs))
        return "has an order that is none";
    for (size_t row = 0; !wrong && row < head->outputs; row++) {
        wrong = row_wrong(head, row);
        if (!wrong && !block_covers(head, row))
            wrong = "has a block that does not cover its rows";
    }
    return wrong;
}
