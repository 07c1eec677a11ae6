/* How long steps take, measured where they run. */
#include <time.h>

#include "model.h"

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int32_t sparseflow_run_time(struct sparseflow_run_stream *stream, const int32_t *frames,
                            size_t count, size_t steps, uint32_t *each,
                            struct sparseflow_run_error *error)
{
    size_t size = (size_t)stream->batch * stream->model->layer[0].inputs;
    file_error(error, SPARSEFLOW_RUN_OK, "%s", "");
    if (!frames || !count || !each)
        return file_error(error, SPARSEFLOW_RUN_USAGE, "frames, each: give both, at least one");
    uint64_t before = nanoseconds();
    for (size_t n = 0; n < steps; n++) {
        int32_t code = sparseflow_run_step(stream, frames + n % count * size, NULL, error);
        uint64_t now = nanoseconds(), took = now - before;
        if (code)
            return code;
        each[n] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
        before = now;
    }
    return SPARSEFLOW_RUN_OK;
}
