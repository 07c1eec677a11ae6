/* Whole networks: layers, directions, the head. */
#ifndef SPARSEFLOW_MODEL_H
#define SPARSEFLOW_MODEL_H

#include "layer.h"
#include "screen.h"
#include "team.h"

struct sparseflow_run_model {
    uint32_t layers, levels, directions, pool, threads;
    struct layer *layer;
    struct file_head head;
    struct screen screen; /* `planes` is NULL where the head has none */
};

struct sparseflow_run_stream {
    const struct sparseflow_run_model *model;
    uint32_t batch;
    struct lane *lane;   /* (levels, batch) */
    struct lane **lanes; /* (batch): those of a call */
    int16_t *words;      /* of the level at work */
    struct team *team;   /* NULL: the caller alone */
    size_t bytes;        /* that a step of one sequence reads */
};

/* One step of lanes in a layer that have taken their frames. */
void step_layer(struct team *team, const struct layer *layer, struct lane *const *lanes,
                size_t count, int16_t *words);
/* Bytes of weights that a step of one sequence reads. */
size_t model_bytes(const struct sparseflow_run_model *model);
int32_t check_frames(const struct layer *layer, const int32_t *frames, size_t count,
                     struct sparseflow_run_error *error);

#endif
