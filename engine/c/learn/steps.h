/* The work of a training step. A kernel includes this once, under its instruction set, with KERNEL,
 * NAME and USABLE defined, and PAIRS, DOT and LOOK_UP where it has better. */
#include "vectors.h"

#include "forward.h"

#include "backward.h"

#include "products.h"

#include "gru.h"

const struct learn_kernel KERNEL = {NAME,    USABLE,     arrange, forward, project, backward,
                                    outputs, transposed, frames,  lifted,  kept,
                                    gru,     candidate, gru_back, reset_back};
