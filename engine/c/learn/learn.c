/* Steps forward and back through a layer; every phase of a step is shared by a team. */
#include "learn.h"

#include <stdlib.h>

#include "../run/team.h"

static const struct learn_kernel *const KERNELS_OF_LEARN[] = {&LEARN_PLAIN, &LEARN_AVX2,
                                                              &LEARN_AVX512};
#define COUNT (sizeof KERNELS_OF_LEARN / sizeof *KERNELS_OF_LEARN)

const char *sparseflow_run_learn_kernel(uint32_t n)
{
    if (n >= COUNT)
        return NULL;
    const struct learn_kernel *kernel = KERNELS_OF_LEARN[n];
    return kernel->usable && kernel->usable() ? kernel->name : "";
}

struct learn_team *sparseflow_run_learn_start(uint32_t threads, size_t bytes)
{
    return (struct learn_team *)team_make(threads, bytes);
}

void sparseflow_run_learn_end(struct learn_team *team)
{
    team_end((struct team *)team);
}

typedef void (*phase_of)(const struct learn_layer *, uint32_t, uint32_t, uint32_t);

/* One phase: a part of what is shared, by each thread. */
struct phase {
    const struct learn_layer *layer;
    const struct learn_kernel *kernel;
    phase_of work; /* NULL: products of `matrix`, or without one gradients that are lifted */
    const struct learn_matrix *matrix;
    const int16_t *d, *x;
    int16_t *rows;
    const int32_t *lift; /* NULL: transposed */
    int64_t *sums;
    uint32_t step;
};

static void take(const void *given, uint32_t first, uint32_t end)
{
    const struct phase *p = given;
    if (p->work)
        p->work(p->layer, p->step, first, end);
    else if (!p->matrix)
        p->kernel->lifted(p->layer, p->rows, p->lift, first, end);
    else if (p->lift)
        p->kernel->kept(p->layer, p->matrix, p->d, p->x, p->lift, first, end);
    else
        p->kernel->transposed(p->layer, p->matrix, p->d, p->sums, first, end);
}

static void share(struct learn_team *team, const struct phase *phase, uint32_t count)
{
    team_share((struct team *)team, take, phase, count);
}

static const struct learn_kernel *kernel_of(uint32_t n)
{
    return n < COUNT && KERNELS_OF_LEARN[n]->usable && KERNELS_OF_LEARN[n]->usable()
               ? KERNELS_OF_LEARN[n]
               : NULL;
}

static int can_run(const struct learn_layer *layer)
{
    return layer->lanes && layer->lanes % LEARN_LANES == 0 && layer->lanes <= LEARN_MOST_LANES &&
           layer->slots > layer->steps;
}

int32_t sparseflow_run_learn_forward(const struct learn_layer *layer, uint32_t kernel,
                                 struct learn_team *team)
{
    const struct learn_kernel *k = kernel_of(kernel);
    if (!k || !can_run(layer))
        return SPARSEFLOW_RUN_USAGE;
    struct phase phase = {.layer = layer, .kernel = k, .work = k->arrange};
    share(team, &phase, layer->inputs);
    for (uint32_t step = 0; step < layer->steps; step++) {
        phase.work = layer->cell == LEARN_LSTM ? k->forward : k->gru;
        phase.step = step;
        share(team, &phase, layer->units);
        phase.work = k->candidate;
        if (layer->cell == LEARN_GRU0)
            share(team, &phase, layer->units);
        phase.work = k->project;
        if (layer->hr.values)
            share(team, &phase, layer->outputs);
    }
    team_rest((struct team *)team);
    return SPARSEFLOW_RUN_OK;
}

static void back_through(const struct learn_layer *layer, const struct learn_kernel *k,
                         struct learn_team *team, const struct learn_matrix *matrix,
                         const int16_t *d, int64_t *sums)
{
    struct phase phase = {.layer = layer, .kernel = k, .matrix = matrix, .d = d, .sums = sums};
    share(team, &phase, matrix->wide && !matrix->turned ? matrix->banks : matrix->columns);
}

static void lstm_back(const struct learn_layer *layer, const struct learn_kernel *k,
                      struct learn_team *team, uint32_t step)
{
    struct phase phase = {.layer = layer, .kernel = k, .step = step};
    if (layer->hr.values) {
        phase.work = k->outputs;
        share(team, &phase, layer->outputs);
        back_through(layer, k, team, &layer->hr, layer->now_dr, layer->through);
    }
    phase.work = k->backward;
    share(team, &phase, layer->units);
    if (step)
        back_through(layer, k, team, &layer->hh, layer->now_d, layer->recurrent);
}

/* Gradients of the sums that meet `hn` are the last. */
static size_t last_sum(const struct learn_layer *layer)
{
    return (size_t)(layer->sums - 1) * layer->units * layer->lanes;
}

static void gru_back(const struct learn_layer *layer, const struct learn_kernel *k,
                     struct learn_team *team, uint32_t step)
{
    struct phase phase = {.layer = layer, .kernel = k, .step = step, .work = k->gru_back};
    const int16_t *of_n = layer->now_d + last_sum(layer);
    share(team, &phase, layer->units);
    if (layer->cell == LEARN_GRU0) {
        back_through(layer, k, team, &layer->hn, of_n, layer->through);
        phase.work = k->reset_back;
        share(team, &phase, layer->units);
    }
    if (step)
        back_through(layer, k, team, &layer->hh, layer->now_d, layer->recurrent);
    if (step && layer->cell == LEARN_GRU)
        back_through(layer, k, team, &layer->hn, of_n, layer->recurrent);
}

static void frame_back(const struct learn_layer *layer, const struct learn_kernel *k,
                       struct learn_team *team, uint32_t step)
{
    struct phase phase = {.layer = layer, .kernel = k, .step = step};
    back_through(layer, k, team, &layer->ih, layer->now_d, layer->below);
    phase.work = k->frames;
    share(team, &phase, layer->inputs);
}

static void gradients(const struct learn_layer *layer, const struct learn_kernel *k,
                      struct learn_team *team, const struct learn_matrix *matrix,
                      const int16_t *d, const int16_t *x, const int32_t *lift)
{
    struct phase phase = {.layer = layer, .kernel = k, .matrix = matrix, .d = d, .x = x};
    phase.lift = lift;
    share(team, &phase, matrix->rows);
}

static void lift(const struct learn_layer *layer, const struct learn_kernel *k,
                 struct learn_team *team, int16_t *rows, uint32_t count, const int32_t *by)
{
    struct phase phase = {.layer = layer, .kernel = k, .rows = rows, .lift = by};
    share(team, &phase, count);
}

int32_t sparseflow_run_learn_backward(const struct learn_layer *layer, uint32_t kernel,
                                  struct learn_team *team)
{
    const struct learn_kernel *k = kernel_of(kernel);
    if (!k || !can_run(layer))
        return SPARSEFLOW_RUN_USAGE;
    for (uint32_t step = layer->steps; step--;) {
        (layer->cell == LEARN_LSTM ? lstm_back : gru_back)(layer, k, team, step);
        if (layer->down)
            frame_back(layer, k, team, step);
    }
    if (!layer->hh.wide)
        lift(layer, k, team, layer->gates, layer->sums * layer->units, layer->lift);
    gradients(layer, k, team, &layer->ih, layer->gates, layer->x, layer->lift);
    gradients(layer, k, team, &layer->hh, layer->gates, layer->r, layer->lift);
    if (layer->hn.values)
        gradients(layer, k, team, &layer->hn, layer->gates + last_sum(layer) * layer->slots,
                  layer->cell == LEARN_GRU0 ? layer->h : layer->r, layer->lift);
    if (layer->hr.values && !layer->hr.wide)
        lift(layer, k, team, layer->dr, layer->outputs, layer->lift_r);
    if (layer->hr.values)
        gradients(layer, k, team, &layer->hr, layer->dr, layer->h, layer->lift_r);
    team_rest((struct team *)team);
    return SPARSEFLOW_RUN_OK;
}

static uint64_t mixed(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

#define RANDOM 24
#define SUM_BITS 48
#define FARTHEST 60

void sparseflow_run_learn_update(int64_t *masters, const int64_t *sums, const uint8_t *real,
                             size_t count, const struct learn_rate *rate)
{
    /* no branch in the loop, which the compiler makes vectors of */
    int64_t top = (int64_t)1 << (rate->bits - 1), most = ((int64_t)1 << (SUM_BITS - 1)) - 1;
    int32_t left = rate->place < 0 ? -rate->place : 0, right = rate->place > 0 ? rate->place : 0;
    /* the product shifted to the left and then by RANDOM to the right, in one: nothing overflows */
    int32_t cut = left < RANDOM ? left : RANDOM, down = RANDOM - cut, over = left - cut;
    int64_t farthest = ((int64_t)1 << FARTHEST) >> over;
    for (size_t n = 0; n < count; n++) {
        uint64_t dice = mixed(rate->start + (n + 1) * 0x9E3779B97F4A7C15u) >> (64 - RANDOM);
        int64_t sum = sums[n] >> right;
        sum = sum > most ? most : sum < -most ? -most : sum;
        int64_t move = (sum * rate->factor + (int64_t)(dice >> cut)) >> down;
        move = move > farthest ? farthest : move < -farthest ? -farthest : move;
        int64_t now = masters[n] - move * ((int64_t)1 << over);
        now = now > top - 1 ? top - 1 : now < -top ? -top : now;
        masters[n] = !real || real[n] ? now : masters[n];
    }
}
