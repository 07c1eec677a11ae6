/* A bare machine with a Sparseflow accelerator: loads its model from memory, runs packets,
 * compares what comes. The addresses are those of soc.v beside it. */
#include "sparseflow_mmio.h"
#include "sparseflow_model.h"
#include "vectors.h" /* packets[], answers[] of this model */

#define REGISTERS ((volatile uint32_t *)0x40000000u)
#define STREAMS ((volatile uint32_t *)0x50000000u)
#define FINISH (*(volatile uint32_t *)0x60000000u)
enum { PUSH, PUSH_LAST, WAITING, POP, INTERRUPT }; /* words of STREAMS */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint32_t job(void)
{
    const struct sparseflow_mmio board = {REGISTERS, 100000u};
    const uint32_t *word = packets, *answer = answers;
    int result = sparseflow_mmio_open(&board, (uint32_t)SPARSEFLOW_MODEL_DESIGN_HASH);
    if (result)
        return (uint32_t)-result;
    sparseflow_mmio_write(&board, SPARSEFLOW_IRQ_ENABLE_ADDRESS,
                          SPARSEFLOW_IRQ_ENABLE_LOADED_MASK);
    if (STREAMS[INTERRUPT])
        return 10u;
    result = sparseflow_mmio_load(&board, SPARSEFLOW_MODEL_LIST_0,
                                  (uint32_t)SPARSEFLOW_MODEL_FRAME_BEATS_0);
    if (result)
        return (uint32_t)-result;
    if (!STREAMS[INTERRUPT])
        return 11u;
    sparseflow_mmio_write(&board, SPARSEFLOW_IRQ_STATUS_ADDRESS, 0xFFFFFFFFu);
    if (STREAMS[INTERRUPT])
        return 12u;
    for (unsigned packet = 0; packet < COUNT(packet_words); packet++) {
        for (unsigned n = packet_words[packet]; n; n--)
            STREAMS[n == 1 ? PUSH_LAST : PUSH] = *word++;
        for (unsigned n = answer_words[packet]; n; n--) {
            while (!STREAMS[WAITING])
                ;
            if (STREAMS[POP] != *answer++)
                return 100u + (uint32_t)(answer - answers);
        }
    }
    return sparseflow_mmio_read(&board, SPARSEFLOW_ERRORS_ADDRESS) ? 99u : 0u;
}

__attribute__((section(".start"), noreturn)) void _start(void)
{
    FINISH = job();
    for (;;)
        ;
}
