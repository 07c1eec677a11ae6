/* A model file as numbers: checked in full, laid out for no kernel yet. */
#ifndef SPARSEFLOW_FILE_H
#define SPARSEFLOW_FILE_H

#include "../sparseflow_run.h"

#define GATES 4 /* of an LSTM, and sums of a unit of any cell */

enum cell { CELL_LSTM, CELL_GRU, CELL_RESET_FIRST };

struct geometry {
    int64_t rows, columns, banks, bank_width, nonzeros, value_bits;
    int64_t parts, part[GATES]; /* k of each equal part of the rows, where it differs */
};

/* Weights kept in a bank of a row. */
static inline int64_t kept_in(const struct geometry *of, int64_t row)
{
    return of->parts ? of->part[row / (of->rows / of->parts)] : of->nonzeros;
}

/* A sparse matrix row by row, columns increasing; entries in padding columns are left out. */
struct rows {
    struct geometry of;
    size_t *starts; /* (rows + 1) */
    int32_t *values;
    uint32_t *columns;
};

struct file_layer {
    struct rows ih, hh, hr; /* `hr.starts` is NULL without a projection */
    enum cell cell;
    int64_t *bias;          /* (4H): i, f, g, o; of a GRU r, z, n of inputs, n of states; or, where
                             * its reset comes first, (3H): r, z, n */
    struct sparseflow_run_format input, hidden, state, output;
    struct sparseflow_run_format ih_format[GATES], hh_format[GATES], hr_format;
    uint32_t inputs, units, outputs;
};

/* A head in planes, in the order in which its rows are read; docs/specification.md has the fields. */
struct file_screen {
    int32_t bits, prior_shift, far_shift, norm_shift;
    int64_t typical;
    uint32_t *first; /* (O): prior, scale, norm, exponent */
    uint32_t *second; /* (O): second norm, width, shift, fold */
    uint32_t *order;
    uint32_t *blocks; /* (O / 16, rounded up) */
    int16_t *weight;  /* (O, H); NULL without a screen */
};

#define SCREEN_BLOCK 16    /* rows that have one bound before any digit */
#define SCREEN_FRACTION 8  /* bits of a bound beyond those of a logit */
#define SCREEN_COLUMNS 4096
#define SCREEN_LEAST 5     /* bits of the first two planes, and of a row */
#define SCREEN_FOLD 2
#define SCREEN_SHARE_1 4   /* parts of a row that norms cover, after each plane */
#define SCREEN_SHARE_2 16

struct file_head {
    uint32_t outputs, inputs; /* 0 without a head */
    int64_t *weight, *bias;   /* `weight` is NULL where there is a screen */
    struct sparseflow_run_format weight_format, input;
    struct file_screen screen;
    int shifted; /* its rows lie in few bits, and their shifts in a tensor more */
    uint32_t deep;            /* linear layers before it, a ReLU behind each */
    struct file_head *hidden; /* (deep) in the order in which they run */
};

/* The layer that takes what a step gives. */
static inline const struct file_head *head_first(const struct file_head *head)
{
    return head->deep ? head->hidden : head;
}

/* Fraction bits that sums of a layer lose before the next one takes them. */
static inline int head_shift(const struct file_head *giver, const struct file_head *taker)
{
    return giver->weight_format.fraction + giver->input.fraction - taker->input.fraction;
}

void head_free(struct file_head *head);

struct file_model {
    uint32_t layers, directions, pool;
    struct file_layer *layer;
    struct file_head head;
};

/* Fields of a row, and of a block. */
static inline int32_t screen_prior(uint32_t first)
{
    return (int32_t)(first << 20) >> 20;
}

/* What the digits of a row mean: csb_format.screening.planes.Cells. */
struct cells_of_row {
    int32_t width, shift, fold;
};

static inline struct cells_of_row screen_cells(uint32_t second)
{
    return (struct cells_of_row){(int32_t)(second >> 16 & 15) + 1, (int32_t)(second >> 20 & 15),
                                 (int32_t)(second >> 24)};
}

/* What the first plane says of a weight, -3 to 3, and both, in units of 2**(width - 6 - fold). */
static inline int32_t screen_size(struct cells_of_row of, int32_t weight)
{
    int32_t moved = weight >> of.shift;
    return moved < 0 ? ~moved : moved;
}

static inline int32_t screen_first(struct cells_of_row of, int32_t weight)
{
    int32_t found = screen_size(of, weight) >> (of.width - 2 - of.fold) ? 3 : 1;
    return weight < 0 ? -found : found;
}

static inline int32_t screen_second(struct cells_of_row of, int32_t weight)
{
    int32_t size = screen_size(of, weight), step = 4 << of.fold;
    int32_t found = 2 * (size >> (of.width - SCREEN_LEAST - of.fold)) + 1;
    if (of.fold && size >> (of.width - 2 - of.fold)) {
        int32_t cell = size >> (of.width - 4), low = cell * step < 16 ? 16 : cell * step;
        found = (low + (cell + 1) * step) >> 1;
    }
    return weight < 0 ? -found : found;
}

/* A second norm counts 2**this in units of a bound. */
static inline int screen_second_shift(struct cells_of_row of, int lift)
{
    int shift = of.width + of.shift + lift - 11;
    return shift < 0 ? 0 : shift;
}

/* 2**lift is at least the root of the columns. */
static inline int screen_lift(uint32_t columns)
{
    int lift = 0;
    while ((uint32_t)1 << 2 * lift < columns)
        lift++;
    return lift;
}

/* The smallest whole number whose square is at least this, 0 to 2**62. */
int64_t root_above(int64_t square);
/* NULL, or what is wrong: what numbers must be for bounds to prove anything. */
const char *screen_wrong(const struct file_head *head);
void screen_free(struct file_screen *screen);

/* Set an error and give its code. */
int32_t file_error(struct sparseflow_run_error *error, int32_t code, const char *text, ...)
    __attribute__((format(printf, 3, 4)));

int32_t file_read(struct file_model *model, const uint8_t *bytes, size_t count,
                  struct sparseflow_run_error *error);
void file_free(struct file_model *model);

/* The entries of a bit stream; `name` is for errors. */
int32_t rows_read(struct rows *rows, const struct geometry *of, const uint8_t *bytes, size_t count,
                  const char *name, struct sparseflow_run_error *error);
void rows_free(struct rows *rows);
int64_t packed_bits(const struct geometry *of);

/* Whether a number has so many bits, the sign included. */
static inline int fits(int64_t value, int32_t bits)
{
    int64_t half = (int64_t)1 << (bits - 1);
    return -half <= value && value < half;
}

#endif
