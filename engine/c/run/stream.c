/* Steps of streams, whole sequences, and the head. */
#include <stdlib.h>
#include <string.h>

#include "model.h"

#define SIDE 32 /* sequences side by side in sparseflow_run_sequences */

void step_layer(struct team *team, const struct layer *layer, struct lane *const *lanes,
                size_t count, int16_t *words)
{
    struct batch batch = batch_of(layer, lanes, count, words);
    batch_gather(layer, &batch, 0);
    team_run(team, layer, &batch, 0);
    if (layer->out_blocks) {
        batch_gather(layer, &batch, 1);
        team_run(team, layer, &batch, 1);
    }
    for (size_t n = 0; n < count; n++)
        layer_keep(layer, lanes[n]);
}

int32_t check_frames(const struct layer *layer, const int32_t *frames, size_t count,
                     struct sparseflow_run_error *error)
{
    int32_t most = (int32_t)(((int64_t)1 << (layer->input.bits - 1)) - 1), outside = 0;
    for (size_t n = 0; n < count; n++)
        outside |= (frames[n] > most) | (frames[n] < -most - 1);
    for (size_t n = 0; outside && n < count; n++)
        if (!fits(frames[n], layer->input.bits))
            return file_error(error, SPARSEFLOW_RUN_RANGE,
                              "input %zu of frame %zu is %d: its format holds %d to %d; quantise "
                              "it to this format",
                              n % layer->inputs, n / layer->inputs, frames[n], -most - 1, most);
    return SPARSEFLOW_RUN_OK;
}

/* Bytes of words that any level needs. */
static size_t room_of(const struct sparseflow_run_model *model, size_t batch)
{
    size_t most = 0;
    for (uint32_t n = 0; n < model->layers; n++) {
        size_t room = batch_room(&model->layer[n], batch);
        most = most < room ? room : most;
    }
    return most;
}

int32_t sparseflow_run_start(const struct sparseflow_run_model *model, uint32_t batch,
                             struct sparseflow_run_stream **stream,
                             struct sparseflow_run_error *error)
{
    file_error(error, SPARSEFLOW_RUN_OK, "%s", "");
    if (!model || !stream)
        return file_error(error, SPARSEFLOW_RUN_USAGE, "model, stream: give both");
    *stream = NULL;
    if (model->directions != 1)
        return file_error(error, SPARSEFLOW_RUN_USAGE,
                          "the model has 2 directions: it cannot run step by step; give whole "
                          "sequences");
    if (!batch || batch > 65536)
        return file_error(error, SPARSEFLOW_RUN_USAGE, "batch %u: must be 1 to 65536", batch);
    struct sparseflow_run_stream *made = calloc(1, sizeof *made);
    size_t count = (size_t)model->levels * batch;
    int good = made != NULL;
    if (good) {
        made->model = model;
        made->batch = batch;
        made->lane = calloc(count, sizeof *made->lane);
        made->lanes = calloc(batch, sizeof *made->lanes);
        made->words = aligned(room_of(model, batch));
        good = made->lane && made->lanes && made->words;
    }
    for (size_t n = 0; good && n < count; n++)
        good = lane_make(&made->lane[n], &model->layer[n / batch]);
    if (good) {
        made->bytes = model_bytes(model);
        made->team = team_make(model->threads, made->bytes * batch);
    }
    if (!good) {
        sparseflow_run_end(made);
        return file_error(error, SPARSEFLOW_RUN_MEMORY, "no memory for a stream of %u", batch);
    }
    *stream = made;
    return SPARSEFLOW_RUN_OK;
}

void sparseflow_run_end(struct sparseflow_run_stream *stream)
{
    if (!stream)
        return;
    team_end(stream->team);
    for (size_t n = 0; stream->lane && n < (size_t)stream->model->levels * stream->batch; n++)
        lane_free(&stream->lane[n]);
    free(stream->lane);
    free(stream->lanes);
    free(stream->words);
    free(stream);
}

void sparseflow_run_reset(struct sparseflow_run_stream *stream, uint32_t which)
{
    for (uint32_t level = 0; which < stream->batch && level < stream->model->levels; level++)
        lane_reset(&stream->lane[(size_t)level * stream->batch + which],
                   &stream->model->layer[level]);
}

/* Refuse a number past the last sequence, and one that is given twice. */
static int32_t check_which(const struct sparseflow_run_stream *stream, uint32_t count,
                           const uint32_t *which, struct sparseflow_run_error *error)
{
    for (uint32_t n = 0; n < count; n++)
        if (which[n] >= stream->batch || (n && which[n] <= which[n - 1]))
            return file_error(error, SPARSEFLOW_RUN_USAGE,
                              "which[%u] is %u: give numbers below %u, each above the one before",
                              n, which[n], stream->batch);
    return SPARSEFLOW_RUN_OK;
}

/* One step of these sequences in one layer; of the first their frames, of others what is below. */
static void step_level(struct sparseflow_run_stream *stream, struct team *team, uint32_t level,
                       uint32_t count, const uint32_t *which, const int32_t *frames)
{
    const struct layer *layer = &stream->model->layer[level];
    size_t batch = stream->batch, first = level * batch;
    for (uint32_t n = 0; n < count; n++) {
        struct lane *lane = &stream->lane[first + (which ? which[n] : n)];
        layer_take(layer, lane, level ? (lane - batch)->out : frames + (size_t)n * layer->inputs);
        stream->lanes[n] = lane;
    }
    step_layer(team, layer, stream->lanes, count, stream->words);
}

static int32_t step_of(struct sparseflow_run_stream *stream, uint32_t count,
                       const uint32_t *which, const int32_t *frames, int32_t *outputs,
                       struct sparseflow_run_error *error)
{
    const struct sparseflow_run_model *model = stream->model;
    int32_t code = check_frames(&model->layer[0], frames, (size_t)count * model->layer[0].inputs,
                                error);
    if (code)
        return code;
    struct team *team = team_worth(stream->bytes * count) ? stream->team : NULL;
    for (uint32_t level = 0; level < model->levels; level++)
        step_level(stream, team, level, count, which, frames);
    team_rest(team);
    size_t size = model->layer[model->layers - 1].outputs;
    for (uint32_t n = 0; outputs && n < count; n++)
        memcpy(outputs + n * size, stream->lanes[n]->out, size * sizeof *outputs);
    return SPARSEFLOW_RUN_OK;
}

int32_t sparseflow_run_step(struct sparseflow_run_stream *stream, const int32_t *frames,
                            int32_t *outputs, struct sparseflow_run_error *error)
{
    return step_of(stream, stream->batch, NULL, frames, outputs, error);
}

int32_t sparseflow_run_step_some(struct sparseflow_run_stream *stream, uint32_t count,
                                 const uint32_t *which, const int32_t *frames, int32_t *outputs,
                                 struct sparseflow_run_error *error)
{
    file_error(error, SPARSEFLOW_RUN_OK, "%s", "");
    if (count && (!which || !frames))
        return file_error(error, SPARSEFLOW_RUN_USAGE, "which, frames: give both");
    int32_t code = check_which(stream, count, which, error);
    return code || !count ? code : step_of(stream, count, which, frames, outputs, error);
}

void sparseflow_run_states(const struct sparseflow_run_stream *stream, int32_t *hidden,
                           int32_t *cell)
{
    const struct sparseflow_run_model *model = stream->model;
    size_t units = model->layer[model->layers - 1].units;
    for (size_t n = 0; n < stream->batch; n++) {
        const struct lane *lane = &stream->lane[(model->levels - 1) * (size_t)stream->batch + n];
        if (hidden)
            memcpy(hidden + n * units, lane->hidden, units * sizeof *hidden);
        if (cell)
            memcpy(cell + n * units, lane->c, units * sizeof *cell);
    }
}

/* One layer over whole sequences: where its frames come from, and where results go. */
struct pass {
    struct team *team;
    const struct layer *layer;
    int16_t *words;
    const int32_t *frames;
    int32_t *hidden, *cell, *outputs; /* of this direction: its first column */
    size_t in, units, out;            /* numbers from one frame to the next */
    int reverse;
};

struct run {
    size_t first, length;
};

static void keep(const struct pass *p, const struct lane *lane, size_t at)
{
    size_t units = p->layer->units, outputs = p->layer->outputs;
    if (p->hidden)
        memcpy(p->hidden + at * p->units, lane->hidden, units * sizeof *p->hidden);
    if (p->cell)
        memcpy(p->cell + at * p->units, lane->c, units * sizeof *p->cell);
    if (p->outputs)
        memcpy(p->outputs + at * p->out, lane->out, outputs * sizeof *p->outputs);
}

/* Sequences side by side, the longest first: those that have ended are the last. */
static void pass_some(const struct pass *p, const struct run *runs, size_t count,
                      struct lane *const *lanes)
{
    size_t live = count;
    for (size_t n = 0; n < count; n++)
        lane_reset(lanes[n], p->layer);
    for (size_t t = 0; live && t < runs[0].length; t++) {
        while (live && runs[live - 1].length <= t)
            live--;
        for (size_t n = 0; n < live; n++) {
            size_t at = runs[n].first + (p->reverse ? runs[n].length - 1 - t : t);
            layer_take(p->layer, lanes[n], p->frames + at * p->in);
        }
        step_layer(p->team, p->layer, lanes, live, p->words);
        team_rest(p->team);
        for (size_t n = 0; n < live; n++)
            keep(p, lanes[n], runs[n].first + (p->reverse ? runs[n].length - 1 - t : t));
    }
}

static int32_t pass_all(const struct pass *p, const struct run *runs, size_t count)
{
    struct lane lane[SIDE], *lanes[SIDE];
    size_t most = count < SIDE ? count : SIDE, made = 0;
    struct pass own = *p;
    own.words = aligned(batch_room(p->layer, most));
    int good = own.words != NULL;
    for (; good && made < most; made++) {
        lanes[made] = &lane[made];
        good = lane_make(&lane[made], p->layer);
    }
    for (size_t n = 0; good && n < count; n += most)
        pass_some(&own, runs + n, count - n < most ? count - n : most, lanes);
    free(own.words);
    while (made)
        lane_free(&lane[--made]);
    return good ? SPARSEFLOW_RUN_OK : SPARSEFLOW_RUN_MEMORY;
}

static int longer(const void *a, const void *b)
{
    const struct run *one = a, *two = b;
    if (one->length != two->length)
        return one->length < two->length ? 1 : -1;
    return one->first < two->first ? -1 : one->first > two->first;
}

/* All layers of a level; outputs of all directions lie side by side. */
static int32_t level_run(const struct sparseflow_run_model *model, struct team *team,
                         uint32_t level, const struct run *runs, size_t count, const int32_t *frames,
                         int32_t *hidden, int32_t *cell, int32_t *outputs)
{
    uint32_t directions = model->directions, units = 0, out = 0;
    const struct layer *of = &model->layer[level * directions];
    struct pass p = {.team = team, .frames = frames, .in = of->inputs};
    for (uint32_t d = 0; d < directions; d++) {
        p.units += of[d].units;
        p.out += of[d].outputs;
    }
    for (uint32_t d = 0; d < directions; d++) {
        p.layer = &of[d];
        p.reverse = (int)d;
        p.hidden = hidden ? hidden + units : NULL;
        p.cell = cell ? cell + units : NULL;
        p.outputs = outputs ? outputs + out : NULL;
        units += of[d].units;
        out += of[d].outputs;
        int32_t code = pass_all(&p, runs, count);
        if (code)
            return code;
    }
    return SPARSEFLOW_RUN_OK;
}

static int32_t levels_run(const struct sparseflow_run_model *model, const struct run *runs,
                          size_t count, size_t total, const int32_t *frames, int32_t *hidden,
                          int32_t *cell, int32_t *outputs)
{
    int32_t *given = NULL, code = SPARSEFLOW_RUN_OK;
    struct team *team = team_make(model->threads, model_bytes(model) * (count < SIDE ? count : SIDE));
    for (uint32_t level = 0; !code && level < model->levels; level++) {
        int last = level + 1 == model->levels;
        size_t width = last ? 0 : model->layer[(level + 1) * model->directions].inputs;
        int32_t *between = last ? NULL : malloc((total * width + 1) * sizeof *between);
        if (last || between)
            code = level_run(model, team, level, runs, count, given ? given : frames,
                             last ? hidden : NULL, last ? cell : NULL, last ? outputs : between);
        else
            code = SPARSEFLOW_RUN_MEMORY;
        free(given);
        given = between;
    }
    free(given);
    team_end(team);
    return code;
}

int32_t sparseflow_run_sequences(const struct sparseflow_run_model *model, size_t count,
                                 const size_t *lengths, const int32_t *frames, int32_t *hidden,
                                 int32_t *cell, int32_t *outputs,
                                 struct sparseflow_run_error *error)
{
    size_t total = 0;
    file_error(error, SPARSEFLOW_RUN_OK, "%s", "");
    if (!model || (count && !lengths))
        return file_error(error, SPARSEFLOW_RUN_USAGE, "model, lengths: give both");
    struct run *runs = malloc((count + 1) * sizeof *runs);
    for (size_t n = 0; runs && n < count; n++) {
        runs[n].first = total;
        runs[n].length = lengths[n];
        total += lengths[n];
    }
    int32_t code = runs ? SPARSEFLOW_RUN_OK : SPARSEFLOW_RUN_MEMORY;
    if (!code && total) {
        code = check_frames(&model->layer[0], frames, total * model->layer[0].inputs, error);
        if (code) {
            free(runs);
            return code;
        }
        qsort(runs, count, sizeof *runs, longer);
        code = levels_run(model, runs, count, total, frames, hidden, cell, outputs);
    }
    free(runs);
    if (code)
        file_error(error, code, "no memory for %zu sequences: give fewer at a time", count);
    return code;
}

/* The sum of one class of one vector: wrong for none, as the file was checked. */
