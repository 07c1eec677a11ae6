/* A LiteX SoC with a Sparseflow accelerator: loads two models, one after the other, sends
 * packets by LiteX's engines, and compares what comes. csr.h and mem.h are what soc.py beside it has written. */
#include "csr.h"
#include "mem.h"
#include "sparseflow_mmio.h"
#include "sparseflow_model.h"
#include "vectors.h" /* packets[], answers[], half of them of each model */

#define AT(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define CSR(name) AT(CSR_##name##_ADDR)
#define LOW(name) AT(CSR_##name##_ADDR + 4) /* of 64 bits the lower word comes second */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint32_t got[COUNT(answers)]; /* where the engine writes: read it as volatile */

/* A packet and its answer; each engine begins anew when its enable rises. */
static void transfer(const uint32_t *packet, uint32_t words, const volatile uint32_t *to,
                     uint32_t count)
{
    CSR(SPARSEFLOW_WRITER_ENABLE) = CSR(SPARSEFLOW_READER_ENABLE) = 0;
    LOW(SPARSEFLOW_WRITER_BASE) = (uint32_t)(uintptr_t)to;
    CSR(SPARSEFLOW_WRITER_LENGTH) = 4 * count;
    CSR(SPARSEFLOW_WRITER_ENABLE) = 1;
    LOW(SPARSEFLOW_READER_BASE) = (uint32_t)(uintptr_t)packet;
    CSR(SPARSEFLOW_READER_LENGTH) = 4 * words;
    CSR(SPARSEFLOW_READER_ENABLE) = 1;
    while (!CSR(SPARSEFLOW_WRITER_DONE))
        ;
}

static const struct sparseflow_mmio board = {&AT(SPARSEFLOW_BASE), 100000u};

/* Load a model; its end raises the interrupt. */
static uint32_t load(uint64_t list, uint64_t frame_beats)
{
    int result;
    sparseflow_mmio_write(&board, SPARSEFLOW_IRQ_STATUS_ADDRESS, 0xFFFFFFFFu);
    if (CSR(SPARSEFLOW_EV_PENDING))
        return 0x300u;
    result = sparseflow_mmio_load(&board, list, (uint32_t)frame_beats);
    if (result)
        return 0x200u - (uint32_t)result;
    return CSR(SPARSEFLOW_EV_PENDING) ? 0u : 0x301u;
}

static uint32_t job(void)
{
    uint32_t failed;
    const uint32_t *packet = packets, *answer = answers;
    const volatile uint32_t *word = got;
    int result = sparseflow_mmio_open(&board, (uint32_t)SPARSEFLOW_MODEL_DESIGN_HASH);
    if (result)
        return 0x100u - (uint32_t)result;
    sparseflow_mmio_write(&board, SPARSEFLOW_IRQ_ENABLE_ADDRESS,
                          SPARSEFLOW_IRQ_ENABLE_LOADED_MASK);
    failed = load(SPARSEFLOW_MODEL_LIST_0, SPARSEFLOW_MODEL_FRAME_BEATS_0);
    for (uint32_t n = 0; n < COUNT(packet_words) && !failed; n++) {
        if (n == COUNT(packet_words) / 2)
            failed = load(SPARSEFLOW_MODEL_1_LIST_0, SPARSEFLOW_MODEL_1_FRAME_BEATS_0);
        transfer(packet, packet_words[n], word, answer_words[n]);
        packet += packet_words[n];
        for (uint32_t left = answer_words[n]; left; left--)
            if (*word++ != *answer++)
                return 0x10000u + (uint32_t)(answer - answers);
    }
    if (failed)
        return failed;
    return sparseflow_mmio_read(&board, SPARSEFLOW_ERRORS_ADDRESS) ? 0x400u : 1u;
}

__attribute__((noreturn, used)) static void run(void)
{
    CSR(MAIN_DONE) = job(); /* 1 is right */
    for (;;)
        ;
}

/* PicoRV32 begins here without a stack */
__asm__(".section .start,\"ax\"\n.globl _start\n_start: la sp, stack_end\n j run\n");
