/* Any model in plain C: 64-bit sums, entries read by address. */
#ifndef SPARSEFLOW_PLAIN_H
#define SPARSEFLOW_PLAIN_H

#include "layer.h"

int32_t plain_make(struct layer *layer, const struct file_layer *of);
void plain_free(struct layer *layer);
void plain_gates(const struct layer *layer, struct lane *lane, uint32_t first, uint32_t end);
void plain_project(const struct layer *layer, struct lane *lane, uint32_t first, uint32_t end);

#endif
