/* A layer's training step in integers: docs/learning.md is the contract.
 *
 * Python (engine/learn) owns all memory and says how far everything is shifted; the functions
 * here do the work of one direction of one layer on a piece of a batch. Arrays of signals are
 * (elements, slots, lanes): the lanes of a step lie side by side, and the slots of an element.
 *
 * The rows of n of a GRU's weight_hh are a matrix of their own, `hn`: of `gru` they have sums that
 * no input is in, of `gru0` they read r * h. */
#ifndef SPARSEFLOW_LEARN_H
#define SPARSEFLOW_LEARN_H

#include "../sparseflow_run.h"

#define LEARN_LANES 16 /* worked on together: a register of 32-bit numbers */
#define LEARN_MOST_LANES 1024
#define LEARN_GATES 4
#define LEARN_FACTOR_BITS 13
#define LEARN_INNER_BITS 16
#define LEARN_GUARD 2 /* fraction bits of a GRU's kept state beyond those of h */

enum learn_cell { LEARN_LSTM, LEARN_GRU, LEARN_GRU0 };

struct learn_matrix {
    uint32_t rows, stored, entries; /* of a row: nonzeros times banks, and made even */
    uint32_t banks, bank_width, columns;
    uint32_t parts;         /* equal ones of the rows, that `left` and `back` are of */
    uint32_t wide;          /* whether sums of gradients need 64 bits */
    uint32_t adds;          /* whether sums back are added to those of another matrix */
    const int32_t *values;  /* (rows, entries) of the matrix as it lies; padding is 0 */
    const int16_t *shifted; /* the same, where products meet those of the other matrix of a layer;
                             * NULL: sums forward need 64 bits */
    const int16_t *halves;  /* (2, rows, entries), then: 256 times the first and the second is it */
    const uint32_t *columns_of; /* (rows, entries); in the entry's bank, if that has any column */
    /* The same by columns, for sums of gradients that fit 32 bits: entries of column n are
     * starts[n] to starts[n + 1] - 1, an even number; values where products of all rows meet. */
    const uint32_t *starts, *rows_of;
    const int16_t *turned;      /* wide: two, as of `halves`; NULL where they are too wide for it */
    const int32_t *left;      /* (parts): of the rows of a gate, forward */
    const int32_t *back;      /* (parts): and back; NULL: none is shifted */
    int64_t *sums;            /* (rows, entries) of gradients, added to */
};

/* A tensor of gradients: how it is shifted at each step, and what was seen of it. */
struct learn_tensor {
    const int32_t *shift[4]; /* (steps) of its parts; NULL where there is none */
    uint64_t *seen;          /* (steps): bits that were set in a magnitude */
    uint64_t *clipped;       /* of all steps */
    int32_t bits;
};

struct learn_layer {
    uint32_t cell, sums; /* enum learn_cell; of a unit, each with a bias: i f g o, r z nx nh, r z n */
    uint32_t inputs, units, outputs;
    uint32_t steps, slots, lanes;
    int32_t gate_frac, state_frac, state_bits;
    int32_t right[LEARN_GATES]; /* of the sums to pre-activations */
    int32_t project_right, output_bits;
    struct learn_matrix ih, hh, hr; /* hr.values is NULL without a projection */
    struct learn_matrix hn;         /* of a GRU */
    const int32_t *bias;            /* (sums units) */
    const int32_t *sigmoid, *tanh;  /* of all states, from the smallest on */
    const int32_t *live;            /* (steps): lanes that have begun */
    /* Vectors of one step, (elements, lanes), which products read: x of all steps, one after the
     * other; r of two, by turns; and of gradients d (sums units), dr. */
    int16_t *now_x, *now_r, *now_h, *now_d, *now_dr;
    int16_t *x;                     /* (inputs) */
    int16_t *r;                     /* (outputs), from slot 1 on */
    int16_t *h;                     /* (units), with a projection; of gru0 r * h */
    int16_t *gates;                 /* (sums units); on the way back the sums' gradients */
    int16_t *squashed;              /* (units), of an LSTM */
    int32_t *nh;                    /* (units), of gru: the recurrent part of the candidate */
    int16_t *dr;                    /* (outputs), with a projection */
    int32_t *c;                     /* (units), from slot 1 on: what the cell keeps */
    const int32_t *up;              /* (outputs), no slots: steps and lanes */
    int32_t *down;                  /* (inputs), as `up`; NULL: nobody asks for it */
    int64_t *recurrent;             /* (outputs, lanes), scratch; narrow: as 32-bit numbers */
    int64_t *below;                 /* (inputs, lanes), scratch */
    int64_t *through;               /* (units, lanes), scratch with a projection, and of gru0 */
    int32_t *carried, *reset;       /* (units, lanes), scratch; the second of gru0 */
    int64_t *bias_sums;             /* (sums units), added to */
    struct learn_tensor of_r, of_h, of_c, of_d, of_v, of_x;
    const int32_t *lift;   /* (steps): of products with d, to where they are summed */
    const int32_t *lift_r; /* (steps) */
    uint32_t watch;        /* whether what is seen of gradients is noted */
};

struct learn_team;

/* Name of the kernel of this number, empty where this CPU lacks it; NULL beyond the last. */
SPARSEFLOW_RUN_PUBLIC const char *sparseflow_run_learn_kernel(uint32_t n);
SPARSEFLOW_RUN_PUBLIC struct learn_team *sparseflow_run_learn_start(uint32_t threads, size_t bytes);
SPARSEFLOW_RUN_PUBLIC void sparseflow_run_learn_end(struct learn_team *team);
/* `kernel`: its number from 0, plain first. */
SPARSEFLOW_RUN_PUBLIC int32_t sparseflow_run_learn_forward(const struct learn_layer *layer,
                                                       uint32_t kernel, struct learn_team *team);
SPARSEFLOW_RUN_PUBLIC int32_t sparseflow_run_learn_backward(const struct learn_layer *layer,
                                                        uint32_t kernel, struct learn_team *team);

struct learn_rate {
    int64_t factor;
    int32_t place; /* that sums are shifted to the right by before they are multiplied */
    int32_t bits;  /* of a master */
    uint64_t start; /* of the generator, before the first number */
};

/* Masters less their updates; `real` is NULL where all of them move. */
SPARSEFLOW_RUN_PUBLIC void sparseflow_run_learn_update(int64_t *masters, const int64_t *sums,
                                                   const uint8_t *real, size_t count,
                                                   const struct learn_rate *rate);

/* What a kernel does with a part of the rows, units or banks. */
struct learn_kernel {
    const char *name;
    int (*usable)(void);
    /* Frames of some elements, of all steps, to where products read them. */
    void (*arrange)(const struct learn_layer *layer, uint32_t step, uint32_t first, uint32_t end);
    void (*forward)(const struct learn_layer *layer, uint32_t step, uint32_t first, uint32_t end);
    void (*project)(const struct learn_layer *layer, uint32_t step, uint32_t first, uint32_t end);
    void (*backward)(const struct learn_layer *layer, uint32_t step, uint32_t first, uint32_t end);
    void (*outputs)(const struct learn_layer *layer, uint32_t step, uint32_t first, uint32_t end);
    /* Transposed products: rows' gradients d (rows, lanes) to sums of columns; of some columns, or
     * of some banks where sums need 64 bits. */
    void (*transposed)(const struct learn_layer *layer, const struct learn_matrix *matrix,
                       const int16_t *d, int64_t *sums, uint32_t first, uint32_t end);
    void (*frames)(const struct learn_layer *layer, uint32_t step, uint32_t first, uint32_t end);
    /* Of some rows of narrow gradients: shifted in place, for `kept`. */
    void (*lifted)(const struct learn_layer *layer, int16_t *d, const int32_t *lift,
                   uint32_t first, uint32_t end);
    /* Gradients of the kept weights of some rows. */
    void (*kept)(const struct learn_layer *layer, const struct learn_matrix *matrix,
                 const int16_t *d, const int16_t *x, const int32_t *lift, uint32_t first,
                 uint32_t end);
    /* A GRU's step, of gru0 up to r * h and then from it; and the same back. */
    void (*gru)(const struct learn_layer *layer, uint32_t step, uint32_t first, uint32_t end);
    void (*candidate)(const struct learn_layer *layer, uint32_t step, uint32_t first, uint32_t end);
    void (*gru_back)(const struct learn_layer *layer, uint32_t step, uint32_t first, uint32_t end);
    void (*reset_back)(const struct learn_layer *layer, uint32_t step, uint32_t first,
                       uint32_t end);
};

extern const struct learn_kernel LEARN_PLAIN, LEARN_AVX2, LEARN_AVX512;

#endif
