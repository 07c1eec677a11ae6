/* A layer laid out for one kernel, and what a kernel must offer. */
#ifndef SPARSEFLOW_LAYER_H
#define SPARSEFLOW_LAYER_H

#include "../load/file.h"

#define LANES 16  /* rows side by side: one register of 512 bits, or several narrower ones */
#define GROUPS 4  /* of lanes in a block: the gates of 16 units, or 64 rows of a projection */
#define BLOCK (LANES * GROUPS)
#define QUAD 4    /* entries of a row that are added at a time, all of one window */
#define MOST_DIGITS 3
#define MOST_SUMS (MOST_DIGITS * BLOCK)
#define LARGEST 32639 /* of two signed digits: 127 * 256 + 127 */
#define MOST_MANY 4
#define BESIDE 16 /* sequences that `beside` takes side by side */
#define MOST_WINDOW 256
#define SLACK MOST_WINDOW /* bytes behind a vector that a window may reach into */
#define ALIGNED 64

/* A vector as bytes: numbers plus `offset` are not negative, a plane has one digit of each. */
struct planes {
    uint32_t count;  /* 1 or 2: digits of a number */
    size_t stride;   /* bytes from one plane to the next */
    int32_t offset;
    uint8_t flip[2]; /* xor of each digit: 0x80 where a kernel takes it as signed */
};

/* What digits cannot hold of a weight. */
struct rest {
    uint16_t place; /* in the block */
    int16_t value;
    uint32_t column;
};

/* A sparse matrix for products in registers.
 *
 * A block has 64 rows; its columns are cut into windows, which may overlap: a row then takes what
 * lies in several in the first that has room for it. What a block adds in a window lies
 * quad by quad: for each group of 16 rows 64 places in the window, then 64 low digits of
 * weights, then, of weights of two digits, 64 high ones; byte 4 * lane + entry. */
struct tiles {
    uint32_t blocks, windows, width; /* columns of a window, at most */
    uint32_t weight_digits, digits;  /* of weights, and of the sums */
    uint32_t *first;                 /* (windows): first column */
    uint32_t *quads;                 /* (blocks, windows) */
    size_t *starts;                  /* (blocks): where a block begins in `data` */
    uint8_t *data;
    size_t bytes;
    uint64_t entries;                /* those that only fill included */
    size_t *rests;                   /* (blocks + 1): where those of a block begin */
    struct rest *rest;
    int no_least;                    /* as the kernel's */
};

/* Any matrix, read by address: what is left where no tiles can be had. */
struct plain {
    size_t *starts;
    int32_t *values;
    uint32_t *columns;
};

/* Where sums fit: SPLIT is what can be added up as 8 bits and what lies above them. */
enum reach { NARROW_SUMS, SPLIT_SUMS, WIDE_SUMS };

/* How sums become pre-activations, and these states; rows of a block in the order of tiles. */
struct cells {
    enum cell cell;
    int32_t bits;        /* a, of gates and hidden states */
    int32_t lift;        /* fraction bits of a gate beyond those of a state */
    int32_t offset_bits; /* of the table's argument: the place inside a segment */
    int32_t last;        /* largest argument of the table */
    int32_t rise_bits;   /* of an entry of the table, the lowest */
    const uint32_t *table; /* base and rise of each segment */
    const uint8_t *bytes;  /* (4, 256): the same, the lowest bytes of all entries first */
    int32_t left_ih[GATES], left_hh[GATES], right[GATES];
    enum reach reach;
    size_t rows;         /* of these, blocks * 64 */
    int32_t *add;        /* (blocks, 64), narrow: rounding, bias and offsets in one */
    int32_t *add_low;    /* split: the last 8 bits of add_wide; `add` has those above them */
    int64_t *add_wide;   /* rounding and offsets */
    int32_t *bias;       /* (blocks, 64), where it is not in `add` */
};

struct projection {
    int32_t left, right, most; /* shifts, and the largest result */
    enum reach reach;
    int32_t *add, *add_low;
    int64_t *add_wide;
};

struct kernel {
    const char *name;
    int (*usable)(void);
    uint32_t windows[2]; /* widths that it picks from; 0: none */
    float costs[2];      /* of a quad in each, in any unit */
    uint8_t flip[2][2];  /* of vectors of one digit and of two */
    int no_least;        /* no digit of a weight may be -128 */
    uint32_t many[MOST_DIGITS + 1]; /* sequences that `products` takes, by digits of the sums */
    void (*product)(const struct tiles *tiles, uint32_t block, const uint8_t *x, size_t stride,
                    uint32_t planes, int32_t *sums);
    /* The same of as many sequences as `many` says; NULL: one at a time. */
    void (*products)(const struct tiles *tiles, uint32_t block, const uint8_t *const *x,
                     size_t stride, uint32_t planes, int32_t (*sums)[MOST_SUMS]);
    /* How many sequences are worth a pass of BESIDE, by digits of weights and of states less 1;
     * 0: none. */
    uint32_t beside_from[2][2];
    /* Numbers (columns, BESIDE) of some sequences' planes; `count` is a number of columns. */
    void (*gather)(const struct planes *planes, const uint8_t *const *x, size_t sequences,
                   size_t count, int16_t *to);
    /* Digits of the sums of BESIDE sequences; one digit: sums modulo 2**32. */
    void (*beside)(const struct tiles *tiles, uint32_t block, const int16_t *x, uint32_t digits,
                   int32_t (*sums)[MOST_SUMS]);
    /* Sums of both products of a block to its 16 cells and hidden states. */
    void (*finish)(const struct cells *cells, uint32_t block, const int32_t *ih,
                   uint32_t ih_digits, const int32_t *hh, uint32_t hh_digits, int32_t *c,
                   int32_t *h);
    void (*project)(const struct projection *p, uint32_t block, const int32_t *sums,
                    uint32_t digits, int32_t *out);
    /* Where the reset comes first: sums of a block to r * h of its 16 cells, z and what is known of
     * n; then, of 64 cells, products with r * h to cells and hidden states. */
    void (*reset)(const struct cells *cells, uint32_t block, const int32_t *ih,
                  uint32_t ih_digits, const int32_t *hh, uint32_t hh_digits, const int32_t *c,
                  int32_t *reset, int32_t *z, int64_t *part);
    void (*renew)(const struct cells *cells, uint32_t block, const int32_t *hn, uint32_t digits,
                  const int32_t *z, const int64_t *part, int32_t *c, int32_t *h);
    void (*spread)(const struct planes *planes, const int32_t *x, size_t count, uint8_t *to);
};

/* Arithmetic of a cell in 64 bits, for the plain way. */
struct wide_cells {
    const int64_t *base, *rise;
    int64_t *bias;
    int32_t right[GATES], left_ih[GATES], left_hh[GATES];
    enum cell cell;
    int32_t bits, lift, segments, offset_bits;
    int32_t project_left, project_right, project_bits;
};

struct layer {
    uint32_t inputs, units, outputs;
    uint32_t blocks, out_blocks; /* of units, and of a projection's rows; 0 without one */
    struct sparseflow_run_format input, hidden, state, output; /* state: what is kept */
    const struct kernel *kernel; /* NULL: plain */
    struct planes x, r, h;
    struct tiles ih, hh, hr; /* hr: a projection; or, where the reset comes first, rows n of hh,
                              * whose vector is r * h: `hidden` and `h` hold it between phases */
    struct cells cells, cells_beside; /* that of words: their numbers have no offset */
    struct projection projection, projection_beside;
    int words_fit;        /* sums of words and of digits of weights fit 32 bits */
    uint32_t beside_from; /* sequences that are worth a pass of BESIDE; 0: none */
    struct plain plain_ih, plain_hh, plain_hr;
    struct wide_cells wide;
    uint64_t weights;
};

/* The state of one sequence in one layer. */
struct lane {
    uint8_t *x, *r, *next, *h; /* planes */
    int32_t *c, *hidden, *out; /* padded to whole blocks */
    int32_t *frame;            /* of the plain way */
    int64_t *sums;
    int32_t *z;    /* where the reset comes first: gates, and sums of n of the input */
    int64_t *part; /* (of narrow sums the first half) */
};

extern const struct kernel *const KERNELS[];

int32_t layer_make(struct layer *layer, const struct file_layer *of, const struct kernel *kernel,
                   uint32_t n, struct sparseflow_run_error *error);
void layer_free(struct layer *layer);
size_t layer_bytes(const struct layer *layer);

/* The rows of a matrix that each group of a block has. */
struct order {
    int grouped;        /* by units; else 64 rows of a block follow each other */
    int gates;          /* of the matrix */
    int gate[GROUPS];   /* -1: none of them */
};

extern const struct order ROWS_IN_TURN, ROWS_OF_R_AND_Z;
struct order order_of(enum cell cell, int recurrent);

int32_t tiles_make(struct tiles *tiles, const struct rows *rows, const struct kernel *kernel,
                   uint32_t planes, const struct order *order);
void tiles_free(struct tiles *tiles);

uint64_t tiles_loads(const struct tiles *tiles); /* windows of all blocks with anything in them */

uint64_t tiles_rests(const struct tiles *tiles);
/* The row of a matrix that a place in a block stands for; past the last for padding. */
size_t tiles_row(const struct rows *rows, const struct order *order, uint32_t block,
                 uint32_t place);

/* Memory of one lane, zeroed; NULL without any. */
int lane_make(struct lane *lane, const struct layer *layer);
void lane_free(struct lane *lane);
void lane_reset(struct lane *lane, const struct layer *layer);

void layer_take(const struct layer *layer, struct lane *lane, const int32_t *frame);

/* Lanes that take a step together. */
struct batch {
    struct lane *const *lanes;
    size_t count;
    size_t passes;  /* of BESIDE lanes, the first ones; the others go on one by one */
    int16_t *words; /* (passes, columns of all matrices, BESIDE): what a pass multiplies */
};

/* Bytes of the words of so many lanes. */
size_t batch_room(const struct layer *layer, size_t count);
struct batch batch_of(const struct layer *layer, struct lane *const *lanes, size_t count,
                      int16_t *words);
/* Words of frames and states, before the gates; of hidden states, before a projection. */
void batch_gather(const struct layer *layer, const struct batch *batch, int project);
/* Blocks `first` to `end` - 1 of the gates, or of the projection, of many lanes. */
void layer_gates(const struct layer *layer, const struct batch *batch, uint32_t first,
                 uint32_t end);
void layer_project(const struct layer *layer, const struct batch *batch, uint32_t first,
                   uint32_t end);
void layer_keep(const struct layer *layer, struct lane *lane);

/* Entries of tables for a width of activations. */
int table_bits(int32_t fraction); /* of a state: segments, as a power of two */
int32_t table_entry(int32_t bits, int segments, int32_t segment, int64_t *base, int64_t *rise);
void *aligned(size_t bytes);

#endif
