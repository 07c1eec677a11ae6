/* Logits of a head, and the largest of them. */
#include <stdlib.h>
#include <string.h>

#include "model.h"

static int64_t logit_of(const struct file_head *head, uint32_t output, const int32_t *x)
{
    const int64_t *weight = head->weight + (size_t)output * head->inputs;
    int64_t total = head->bias[output];
    for (uint32_t n = 0; n < head->inputs; n++)
        total += weight[n] * x[n];
    return total;
}

/* What a ReLU leaves of a sum, rounded halves up and saturated: csb_format.heads.mlp.Rectifier. */
static int32_t rectified(int64_t sum, int shift, int32_t bits)
{
    int64_t half = shift ? (int64_t)1 << (shift - 1) : 0, most = ((int64_t)1 << (bits - 1)) - 1;
    int64_t found = sum > 0 ? (sum + half) >> shift : 0;
    return (int32_t)(found < most ? found : most);
}

/* Places of the widest of the hidden layers, of which two are kept at a time. */
static size_t widest(const struct file_head *head)
{
    size_t most = 0;
    for (uint32_t n = 0; n < head->deep; n++)
        most = head->hidden[n].outputs > most ? head->hidden[n].outputs : most;
    return most;
}

/* What the last layer takes for `x`: `kept` has room for two of the hidden layers. */
static const int32_t *last_input(const struct file_head *head, const int32_t *x, int32_t *kept)
{
    size_t size = widest(head);
    for (uint32_t n = 0; n < head->deep; n++) {
        const struct file_head *giver = &head->hidden[n];
        const struct file_head *taker = n + 1 < head->deep ? giver + 1 : head;
        int32_t *to = kept + n % 2 * size;
        for (uint32_t output = 0; output < giver->outputs; output++)
            to[output] = rectified(logit_of(giver, output, x), head_shift(giver, taker),
                                   taker->input.bits);
        x = to;
    }
    return x;
}

static void logits_of(const struct sparseflow_run_model *model, const int32_t *x, int64_t *logits)
{
    if (model->screen.planes) {
        screen_logits(&model->screen, x, logits);
        return;
    }
    for (uint32_t output = 0; output < model->head.outputs; output++)
        logits[output] = logit_of(&model->head, output, x);
}

static int64_t halves_up(int64_t sum, int64_t count)
{
    int64_t twice = 2 * sum + count, by = 2 * count, found = twice / by;
    return found - (twice % by < 0);
}

/* What the head takes of a sequence, in `x`. */
static void pool(const struct sparseflow_run_model *model, size_t length, const int32_t *outputs,
                 int32_t *x)
{
    size_t size = head_first(&model->head)->inputs, forward = model->layer[model->layers - 1].outputs;
    const int32_t *last = outputs + (length - 1) * size;
    memcpy(x, last, size * sizeof *x);
    if (model->pool == SPARSEFLOW_RUN_HN && model->directions == 2)
        memcpy(x + size - forward, outputs + size - forward, forward * sizeof *x);
    for (size_t n = 0; model->pool == SPARSEFLOW_RUN_MEAN && n < size; n++) {
        int64_t sum = 0;
        for (size_t t = 0; t < length; t++)
            sum += outputs[t * size + n];
        x[n] = (int32_t)halves_up(sum, (int64_t)length);
    }
}

static int32_t check(const struct sparseflow_run_model *model, size_t length, int given,
                     struct sparseflow_run_error *error)
{
    file_error(error, SPARSEFLOW_RUN_OK, "%s", "");
    if (!model->head.outputs)
        return file_error(error, SPARSEFLOW_RUN_USAGE,
                          "the model has no head: pack it with its classifier");
    if (!length || !given)
        return file_error(error, SPARSEFLOW_RUN_USAGE, "length, outputs, logits: give at least "
                                                       "one frame");
    return SPARSEFLOW_RUN_OK;
}

/* What is asked of each vector that a head takes. */
struct asked {
    uint32_t k, margin; /* 0: all logits */
    uint32_t *indices;
    int64_t *logits;
    struct sparseflow_run_read *read;
};

static uint64_t bytes_of(const struct file_head *head)
{
    return (uint64_t)head->outputs * (head->inputs + 1) * sizeof *head->weight;
}

static void plain_top(const struct file_head *head, const int32_t *x, struct best *best,
                      struct sparseflow_run_read *read)
{
    for (uint32_t output = 0; output < head->outputs; output++)
        best_add(best, logit_of(head, output, x), output);
    read->exact = head->outputs;
    read->bytes = bytes_of(head);
    for (uint32_t n = 0; n < head->deep; n++)
        read->bytes += bytes_of(&head->hidden[n]);
}

static void answer(const struct sparseflow_run_model *model, const int32_t *x,
                   const struct asked *to, size_t t)
{
    struct sparseflow_run_read read = {0, 0, 0, 0};
    if (!to->k) {
        logits_of(model, x, to->logits + t * model->head.outputs);
        return;
    }
    struct best best = {to->k, 0, to->indices + t * to->k, to->logits + t * to->k};
    if (model->screen.planes)
        screen_top(&model->screen, x, to->k, to->margin, best.indices, best.logits, &read);
    else
        plain_top(&model->head, x, &best, &read);
    if (to->read)
        to->read[t] = read;
}

static int32_t answers(const struct sparseflow_run_model *model, size_t length,
                       const int32_t *outputs, const struct asked *to,
                       struct sparseflow_run_error *error)
{
    size_t size = head_first(&model->head)->inputs;
    int32_t *x = malloc((size + 2 * widest(&model->head)) * sizeof *x), *kept = x + size;
    if (!x)
        return file_error(error, SPARSEFLOW_RUN_MEMORY, "no memory for a vector");
    for (size_t t = 0; model->pool == SPARSEFLOW_RUN_EVERY && t < length; t++)
        answer(model, last_input(&model->head, outputs + t * size, kept), to, t);
    if (model->pool != SPARSEFLOW_RUN_EVERY) {
        pool(model, length, outputs, x);
        answer(model, last_input(&model->head, x, kept), to, 0);
    }
    free(x);
    return SPARSEFLOW_RUN_OK;
}

/* Whether all numbers lie in the head's format: nothing else is what a step puts out. */
static int32_t in_format(const struct sparseflow_run_model *model, size_t length,
                         const int32_t *outputs, struct sparseflow_run_error *error)
{
    const struct file_head *first = head_first(&model->head);
    for (size_t n = 0; n < length * first->inputs; n++)
        if (!fits(outputs[n], first->input.bits))
            return file_error(error, SPARSEFLOW_RUN_RANGE,
                              "output %d does not fit %d bits: give what a step has put out",
                              outputs[n], first->input.bits);
    return SPARSEFLOW_RUN_OK;
}

int32_t sparseflow_run_logits(const struct sparseflow_run_model *model, size_t length,
                              const int32_t *outputs, int64_t *logits,
                              struct sparseflow_run_error *error)
{
    struct asked to = {0, 0, NULL, logits, NULL};
    int32_t code = check(model, length, outputs && logits, error);
    code = code ? code : in_format(model, length, outputs, error);
    return code ? code : answers(model, length, outputs, &to, error);
}

int32_t sparseflow_run_top(const struct sparseflow_run_model *model, size_t length,
                           const int32_t *outputs, uint32_t k, uint32_t margin,
                           uint32_t *indices, int64_t *logits, struct sparseflow_run_read *read,
                           struct sparseflow_run_error *error)
{
    struct asked to = {k, margin ? margin : SPARSEFLOW_RUN_PROOF, indices, logits, read};
    int32_t code = check(model, length, outputs && indices && logits, error);
    if (code)
        return code;
    uint32_t most = model->head.outputs < SCREEN_TOP ? model->head.outputs : SCREEN_TOP;
    if (!k || k > most)
        return file_error(error, SPARSEFLOW_RUN_USAGE, "k = %u: must be 1 to %u", k, most);
    if (margin > SPARSEFLOW_RUN_PROOF)
        return file_error(error, SPARSEFLOW_RUN_USAGE, "margin = %u: must be 1 to %u", margin,
                          SPARSEFLOW_RUN_PROOF);
    code = in_format(model, length, outputs, error);
    return code ? code : answers(model, length, outputs, &to, error);
}
