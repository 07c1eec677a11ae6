#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

extern const struct kernel KERNEL_AVX512, KERNEL_AVX2, KERNEL_DOTPROD, KERNEL_NEON;

const struct kernel *const KERNELS[] = {
#if defined(__x86_64__)
    &KERNEL_AVX512,
    &KERNEL_AVX2,
#endif
#if defined(__aarch64__)
#if defined(__linux__)
    &KERNEL_DOTPROD,
#endif
    &KERNEL_NEON,
#endif
    NULL,
};

static const char PLAIN[] = "plain";

uint32_t sparseflow_run_abi(void)
{
    return SPARSEFLOW_RUN_ABI;
}

const char *sparseflow_run_kernel(uint32_t n)
{
    uint32_t found = 0;
    for (const struct kernel *const *k = KERNELS; *k; k++)
        if ((*k)->usable() && found++ == n)
            return (*k)->name;
    return found == n ? PLAIN : NULL;
}

/* The kernel of a name, or the fastest; NULL for plain C. 0 if there is none of that name. */
static int named(const char *name, const struct kernel **kernel)
{
    *kernel = NULL;
    if (name && !strcmp(name, PLAIN))
        return 1;
    for (const struct kernel *const *k = KERNELS; *k; k++)
        if ((*k)->usable() && (!name || !strcmp(name, (*k)->name))) {
            *kernel = *k;
            return 1;
        }
    return !name;
}

static int32_t make(struct sparseflow_run_model *model, struct file_model *file,
                    const struct sparseflow_run_options *options,
                    struct sparseflow_run_error *error)
{
    const struct kernel *kernel;
    if (!named(options ? options->kernel : NULL, &kernel))
        return file_error(error, SPARSEFLOW_RUN_USAGE,
                          "kernel '%.32s': this CPU or this library has none of that name; ask "
                          "sparseflow_run_kernel, or give none",
                          options->kernel);
    model->threads = options && options->threads ? options->threads : 1;
    if (model->threads > MOST_THREADS)
        return file_error(error, SPARSEFLOW_RUN_USAGE, "threads %u: give at most %d",
                          model->threads, MOST_THREADS);
    model->directions = file->directions;
    model->pool = file->pool;
    model->levels = file->layers / file->directions;
    model->layer = calloc(file->layers, sizeof *model->layer);
    if (!model->layer)
        return file_error(error, SPARSEFLOW_RUN_MEMORY, "no memory for the layers");
    int32_t code = SPARSEFLOW_RUN_OK;
    for (uint32_t n = 0; !code && n < file->layers; n++) {
        model->layers = n + 1;
        code = layer_make(&model->layer[n], &file->layer[n], kernel, n, error);
    }
    model->head = file->head;
    memset(&file->head, 0, sizeof file->head); /* it is the model's now */
    if (!code && model->head.screen.weight)
        code = screen_make(&model->screen, &model->head, kernel ? kernel->name : PLAIN, error);
    free(model->head.screen.weight); /* laid out now */
    model->head.screen.weight = NULL;
    return code;
}

int32_t sparseflow_run_read(const void *bytes, size_t count,
                            const struct sparseflow_run_options *options,
                            struct sparseflow_run_model **model,
                            struct sparseflow_run_error *error)
{
    struct file_model file;
    file_error(error, SPARSEFLOW_RUN_OK, "%s", "");
    if (!model)
        return file_error(error, SPARSEFLOW_RUN_USAGE, "model: give a place for it");
    *model = NULL;
    if (!bytes)
        return file_error(error, SPARSEFLOW_RUN_USAGE, "bytes: give those of a model file");
    struct sparseflow_run_model *made = calloc(1, sizeof *made);
    if (!made)
        return file_error(error, SPARSEFLOW_RUN_MEMORY, "no memory for a model");
    int32_t code = file_read(&file, bytes, count, error);
    if (!code)
        code = make(made, &file, options, error);
    file_free(&file);
    if (code)
        sparseflow_run_close(made);
    else
        *model = made;
    return code;
}

/* All bytes of a file on a disk; a pipe or a device may have no end. */
static uint8_t *contents(const char *path, size_t *count, const char **why)
{
    struct stat about;
    FILE *file = NULL;
    uint8_t *bytes = NULL;
    *why = "cannot be read";
    if (stat(path, &about))
        *why = "there is no such file, or it cannot be reached";
    else if (!S_ISREG(about.st_mode))
        *why = "is no file: name a model file";
    else
        file = fopen(path, "rb");
    if (file && (bytes = malloc((size_t)about.st_size + 1))) {
        *count = fread(bytes, 1, (size_t)about.st_size + 1, file);
        if (*count != (size_t)about.st_size) { /* it has changed meanwhile */
            free(bytes);
            bytes = NULL;
        }
    }
    if (file)
        fclose(file);
    return bytes;
}

int32_t sparseflow_run_open(const char *path, const struct sparseflow_run_options *options,
                            struct sparseflow_run_model **model,
                            struct sparseflow_run_error *error)
{
    const char *why;
    size_t count;
    if (!path || !model)
        return file_error(error, SPARSEFLOW_RUN_USAGE, "path, model: give both");
    *model = NULL;
    uint8_t *bytes = contents(path, &count, &why);
    if (!bytes)
        return file_error(error, SPARSEFLOW_RUN_FILE, "%.300s: %s", path, why);
    int32_t code = sparseflow_run_read(bytes, count, options, model, error);
    free(bytes);
    return code;
}

void sparseflow_run_close(struct sparseflow_run_model *model)
{
    if (!model)
        return;
    for (uint32_t n = 0; n < model->layers; n++)
        layer_free(&model->layer[n]);
    free(model->layer);
    head_free(&model->head);
    screen_drop(&model->screen);
    free(model);
}

size_t model_bytes(const struct sparseflow_run_model *model)
{
    size_t bytes = 0;
    for (uint32_t n = 0; n < model->layers; n++)
        bytes += layer_bytes(&model->layer[n]);
    return bytes;
}

void sparseflow_run_shape(const struct sparseflow_run_model *model,
                          struct sparseflow_run_shape *shape)
{
    const struct layer *first = &model->layer[0], *last = &model->layer[model->layers - 1];
    memset(shape, 0, sizeof *shape);
    shape->inputs = first->inputs;
    shape->units = model->directions * last->units;
    for (uint32_t d = 0; d < model->directions; d++)
        shape->outputs += model->layer[model->layers - 1 - d].outputs;
    shape->classes = model->head.outputs;
    shape->levels = model->levels;
    shape->directions = model->directions;
    shape->pool = model->pool;
    shape->threads = model->threads;
    shape->input = first->input;
    shape->output = last->output;
    shape->hidden = last->hidden;
    shape->cell = last->state;
    if (model->head.outputs) {
        shape->logits.bits = 64;
        shape->logits.fraction = model->head.weight_format.fraction + model->head.input.fraction;
    }
    for (uint32_t n = 0; n < model->layers; n++)
        shape->weights += model->layer[n].weights;
    shape->bytes = model_bytes(model);
}

static const uint32_t SUM_BITS[] = {32, 40, 64}; /* by enum reach */

int32_t sparseflow_run_layer(const struct sparseflow_run_model *model, uint32_t n,
                             struct sparseflow_run_layer *layer)
{
    memset(layer, 0, sizeof *layer);
    if (n >= model->layers)
        return 0;
    const struct layer *of = &model->layer[n];
    snprintf(layer->kernel, sizeof layer->kernel, "%s", of->kernel ? of->kernel->name : PLAIN);
    layer->weights = layer->entries = of->weights;
    layer->sum_bits = 64;
    layer->bytes = layer_bytes(of);
    if (of->kernel) {
        layer->window = of->hh.width;
        layer->state_digits = of->r.count;
        layer->weight_digits = of->hh.weight_digits;
        layer->sum_bits = SUM_BITS[of->cells.reach];
        layer->entries = of->ih.entries + of->hh.entries + of->hr.entries;
        layer->loads = tiles_loads(&of->ih) + tiles_loads(&of->hh) + tiles_loads(&of->hr);
        layer->rests = tiles_rests(&of->ih) + tiles_rests(&of->hh) + tiles_rests(&of->hr);
    }
    return 1;
}
