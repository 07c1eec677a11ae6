/* A bare machine with a Sparseflow accelerator: loads its model from memory, runs a packet,
 * compares what comes. The addresses are those of soc.v beside it. */
#include "sparseflow_mmio.h"
#include "sparseflow_model.h"
#include "vectors.h" /* packet[], expected[] of this model */

#define REGISTERS ((volatile uint32_t *)0x40000000u)
#define STREAMS ((volatile uint32_t *)0x50000000u)
#define FINISH (*(volatile uint32_t *)0x60000000u)
enum { PUSH, PUSH_LAST, WAITING, POP }; /* words of STREAMS */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint32_t job(void)
{
    const struct sparseflow_mmio board = {REGISTERS, 100000u};
    int result = sparseflow_mmio_open(&board, (uint32_t)SPARSEFLOW_MODEL_DESIGN_HASH);
    if (!result)
        result = sparseflow_mmio_load(&board, SPARSEFLOW_MODEL_LIST_0,
                                      (uint32_t)SPARSEFLOW_MODEL_FRAME_BEATS_0);
    if (result)
        return (uint32_t)-result;
    for (unsigned n = 0; n < COUNT(packet); n++)
        STREAMS[n + 1 == COUNT(packet) ? PUSH_LAST : PUSH] = packet[n];
    for (unsigned n = 0; n < COUNT(expected); n++) {
        while (!STREAMS[WAITING])
            ;
        if (STREAMS[POP] != expected[n])
            return 100u + n;
    }
    return sparseflow_mmio_read(&board, SPARSEFLOW_ERRORS_ADDRESS) ? 99u : 0u;
}

__attribute__((section(".start"), noreturn)) void _start(void)
{
    FINISH = job();
    for (;;)
        ;
}
