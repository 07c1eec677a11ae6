/* Instructions of AVX-512 in plain C, by SIMDe, for processors that have none: with
 * -DSPARSEFLOW_RUN_EMULATED='"this file"' the kernel runs on any. */
#include <string.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

typedef simde__mmask64 __mmask64;

static inline __m512i gathered(__m512i at, const void *table)
{
    int32_t places[16], found[16];
    __m512i v;
    memcpy(places, &at, sizeof places);
    for (int n = 0; n < 16; n++)
        memcpy(&found[n], (const char *)table + 4 * (ptrdiff_t)places[n], sizeof *found);
    memcpy(&v, found, sizeof v);
    return v;
}

#define _mm512_i32gather_epi32(at, table, scale) gathered(at, table)
