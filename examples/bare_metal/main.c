/* A bare machine with a Sparseflow accelerator: loads two models from memory, one after
 * the other, runs packets, compares what comes. The addresses are those of soc.v beside it. */
#include "sparseflow_mmio.h"
#include "sparseflow_model.h"
#include "vectors.h" /* packets[], answers[], half of them of each model */

#define REGISTERS ((volatile uint32_t *)0x40000000u)
#define STREAMS ((volatile uint32_t *)0x50000000u)
#define FINISH (*(volatile uint32_t *)0x60000000u)
enum { PUSH, PUSH_LAST, WAITING, POP, INTERRUPT }; /* words of STREAMS */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct sparseflow_mmio board = {REGISTERS, 100000u};

/* Load a model; its end raises the interrupt. */
static uint32_t load(uint64_t list, uint64_t frame_beats)
{
    int result;
    if (STREAMS[INTERRUPT])
        return 10u;
    result = sparseflow_mmio_load(&board, list, (uint32_t)frame_beats);
    if (result)
        return (uint32_t)-result;
    if (!STREAMS[INTERRUPT])
        return 11u;
    sparseflow_mmio_write(&board, SPARSEFLOW_IRQ_STATUS_ADDRESS, 0xFFFFFFFFu);
    return STREAMS[INTERRUPT] ? 12u : 0u;
}

static uint32_t job(void)
{
    const uint32_t *word = packets, *answer = answers;
    uint32_t failed;
    int result = sparseflow_mmio_open(&board, (uint32_t)SPARSEFLOW_MODEL_DESIGN_HASH);
    if (result)
        return (uint32_t)-result;
    sparseflow_mmio_write(&board, SPARSEFLOW_IRQ_ENABLE_ADDRESS,
                          SPARSEFLOW_IRQ_ENABLE_LOADED_MASK);
    failed = load(SPARSEFLOW_MODEL_LIST_0, SPARSEFLOW_MODEL_FRAME_BEATS_0);
    for (unsigned packet = 0; packet < COUNT(packet_words) && !failed; packet++) {
        if (packet == COUNT(packet_words) / 2)
            failed = load(SPARSEFLOW_MODEL_1_LIST_0, SPARSEFLOW_MODEL_1_FRAME_BEATS_0);
        for (unsigned n = packet_words[packet]; n; n--)
            STREAMS[n == 1 ? PUSH_LAST : PUSH] = *word++;
        for (unsigned n = answer_words[packet]; n; n--) {
            while (!STREAMS[WAITING])
                ;
            if (STREAMS[POP] != *answer++)
                return 100u + (uint32_t)(answer - answers);
        }
    }
    if (failed)
        return failed;
    return sparseflow_mmio_read(&board, SPARSEFLOW_ERRORS_ADDRESS) ? 99u : 0u;
}

__attribute__((section(".start"), noreturn)) void _start(void)
{
    FINISH = job();
    for (;;)
        ;
}
