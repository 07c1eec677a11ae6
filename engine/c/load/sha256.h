/* SHA-256 (FIPS 180-4). */
#ifndef SPARSEFLOW_SHA256_H
#define SPARSEFLOW_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
    size_t used;
};

void sha256_begin(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *bytes, size_t count);
/* 64 digits in hexadecimal, no zero behind them. */
void sha256_end(struct sha256 *s, char digits[64]);

#endif
