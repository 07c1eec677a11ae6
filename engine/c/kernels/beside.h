/* Products of BESIDE sequences at a time: a register holds numbers of one column of several of
 * them, so nothing is picked, and weights of two digits cost what those of one do.
 *
 * Needs of its kernel: BYTES, `ints`, ZERO and STORE as in pieces.h, and LOAD_SUMS; PER registers
 * of 32-bit sums of BESIDE sequences; `words_of`, which makes words of 16 signed bytes;
 * `add_entries`, which adds four entries of a row to all its digits; `turn`, which writes sums of
 * TURNED rows sequence by sequence; for `gather` bytes of 16 sequences as a `tile`, with FLIPPED,
 * ZIP_LOW, ZIP_HIGH, NONE and `write_words`. */

#define COLUMNS 256 /* of a chunk: its numbers stay in the first cache */
#define MOST_QUADS 8
#define COLUMN (2 * BESIDE) /* bytes */
#define FOURS (BLOCK / 4)   /* of rows: 16 entries of a quad */

typedef uint16_t some_places __attribute__((vector_size(32)));
typedef int16_t some_words __attribute__((vector_size(32)));

/* How many digits are added up apart, of weights of how many digits. */
struct kind_beside {
    int digits, weights;
};

/* Quads of a block whose columns lie close together, four rows by four rows. */
struct chunk {
    uint32_t window, quad; /* where the next one begins */
    uint32_t quads;
    const uint8_t *x;
    some_places at[FOURS][MOST_QUADS]; /* bytes behind x */
    some_words weight[2][FOURS][MOST_QUADS];
};

/* A quad of all rows, of a window that begins so many bytes behind x. */
INLINE void add_quad_to(struct chunk *c, const uint8_t *data, size_t begin, struct kind_beside of)
{
    uint32_t q = c->quads++;
    for (size_t g = 0; g < GROUPS; g++, data += 64 * (1 + (size_t)of.weights))
        for (size_t n = 0; n < FOURS / GROUPS; n++) {
            size_t four = g * (FOURS / GROUPS) + n;
            const uint8_t *from = data + 16 * n;
            some_words low = words_of(from + 64);
            c->at[four][q] = (some_places)words_of(from) * COLUMN + (uint16_t)begin;
            if (of.digits > 1)
                c->weight[1][four][q] = words_of(from + 128);
            else if (of.weights > 1)
                low += words_of(from + 128) << 8;
            c->weight[0][four][q] = low;
        }
}

/* Go on to the next chunk of a block; gives where its data ends. */
INLINE const uint8_t *next_chunk(struct chunk *c, const struct tiles *t, uint32_t block,
                                 const int16_t *x, const uint8_t *data, struct kind_beside of)
{
    const uint32_t *quads = t->quads + (size_t)block * t->windows;
    uint32_t begin = t->first[c->window];
    c->quads = 0;
    c->x = (const uint8_t *)(x + (size_t)begin * BESIDE);
    while (c->window < t->windows && t->first[c->window] < begin + COLUMNS && c->quads < MOST_QUADS)
        if (c->quad < quads[c->window]) {
            add_quad_to(c, data, (size_t)(t->first[c->window] - begin) * COLUMN, of);
            data += (size_t)GROUPS * 64 * (1 + (size_t)of.weights);
            c->quad++;
        } else {
            c->quad = 0;
            c->window++;
        }
    return data;
}

/* Two rows. */
INLINE void sum_beside(const struct chunk *c, size_t pair, int32_t *sums, int first,
                       struct kind_beside of)
{
    const uint16_t *at = (const uint16_t *)(const void *)c->at[pair / 2] + pair % 2 * 8;
    const int16_t *weight[2] = {NULL, NULL};
    ints total[2][2][PER];
    for (int d = 0; d < of.digits; d++)
        weight[d] = (const int16_t *)(const void *)c->weight[d][pair / 2] + pair % 2 * 8;
    for (int n = 0; n < 2 * of.digits * PER; n++)
        total[n / (of.digits * PER)][n / PER % of.digits][n % PER] =
            first ? ZERO : LOAD_SUMS(sums + n * (BYTES / 4));
    for (uint32_t q = 0; q < c->quads; q++)
        for (int row = 0; row < 2; row++)
            add_entries(total[row], c->x, at + 16 * q + 4 * row, weight, 16 * q + 4 * row,
                        of.digits);
    for (int n = 0; n < 2 * of.digits * PER; n++)
        STORE(sums + n * (BYTES / 4), total[n / (of.digits * PER)][n / PER % of.digits][n % PER]);
}

/* What digits could not hold of weights: entries of the lowest digit. */
INLINE void add_rests(const struct tiles *t, uint32_t block, const int16_t *x, int32_t *sums,
                      struct kind_beside of)
{
    static const uint16_t here[4];
    for (size_t n = t->rests[block]; n < t->rests[block + 1]; n++) {
        const struct rest *rest = &t->rest[n];
        const int16_t value[4] = {rest->value}, *weight[1] = {value};
        int32_t *sum = sums + (size_t)(rest->place * of.digits) * BESIDE;
        ints total[1][PER];
        for (int m = 0; m < PER; m++)
            total[0][m] = LOAD_SUMS(sum + m * (BYTES / 4));
        const uint8_t *from = (const uint8_t *)(x + (size_t)rest->column * BESIDE);
        add_entries(total, from, here, weight, 0, 1);
        for (int m = 0; m < PER; m++)
            STORE(sum + m * (BYTES / 4), total[0][m]);
    }
}

INLINE void block_beside(const struct tiles *t, uint32_t block, const int16_t *x,
                         int32_t (*to)[MOST_SUMS], struct kind_beside of)
{
    int32_t sums[2 * BLOCK * BESIDE] __attribute__((aligned(ALIGNED)));
    struct chunk c __attribute__((aligned(ALIGNED)));
    const uint8_t *data = t->data + t->starts[block];
    c.window = c.quad = 0;
    for (int first = 1; first || c.window < t->windows; first = 0) {
        data = next_chunk(&c, t, block, x, data, of);
        for (size_t pair = 0; pair < BLOCK / 2; pair++)
            sum_beside(&c, pair, sums + pair * 2 * (size_t)of.digits * BESIDE, first, of);
    }
    add_rests(t, block, x, sums, of);
    for (size_t d = 0; d < (size_t)of.digits; d++)
        for (size_t row = 0; row < BLOCK; row += TURNED)
            turn(sums + (row * (size_t)of.digits + d) * BESIDE, (size_t)of.digits * BESIDE,
                 &to[0][d * BLOCK + row]);
}

static void beside(const struct tiles *t, uint32_t block, const int16_t *x, uint32_t digits,
                   int32_t (*sums)[MOST_SUMS])
{
    if (t->weight_digits == 1)
        block_beside(t, block, x, sums, (struct kind_beside){1, 1});
    else if (digits == 1)
        block_beside(t, block, x, sums, (struct kind_beside){1, 2});
    else
        block_beside(t, block, x, sums, (struct kind_beside){2, 2});
}

/* Sixteen columns of sixteen sequences, turned, as numbers. */
INLINE void gather_tile(const struct planes *p, const uint8_t *const *x, size_t sequences, size_t at,
                        int16_t *to)
{
    tile digit[2][16], turned[16];
    for (uint32_t d = 0; d < p->count; d++) {
        for (size_t n = 0; n < 16; n++)
            digit[d][n] = n < sequences ? FLIPPED(x[n] + d * p->stride + at, p->flip[d])
                                        : FLIPPED(x[0] + d * p->stride + at, p->flip[d]);
        for (int round = 0; round < 4; round++) {
            for (int n = 0; n < 8; n++) {
                turned[2 * n] = ZIP_LOW(digit[d][n], digit[d][n + 8]);
                turned[2 * n + 1] = ZIP_HIGH(digit[d][n], digit[d][n + 8]);
            }
            memcpy(digit[d], turned, sizeof turned);
        }
    }
    for (size_t n = 0; n < 16; n++)
        write_words(to + n * BESIDE, digit[0][n], p->count > 1 ? digit[1][n] : NONE, p->offset,
                    p->count > 1);
}

static void gather(const struct planes *p, const uint8_t *const *x, size_t sequences, size_t count,
                   int16_t *to)
{
    for (size_t at = 0; at < count; at += 16)
        gather_tile(p, x, sequences, at, to + at * BESIDE);
}
