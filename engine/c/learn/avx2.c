/* Training with AVX2: the same vectors in halves. */
#include "learn.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
static int usable(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
}

#pragma GCC push_options
#pragma GCC target("avx2,bmi2")
#define KERNEL LEARN_AVX2
#define NAME "avx2"
#define USABLE usable
#include "steps.h"
#pragma GCC pop_options
#else
const struct learn_kernel LEARN_AVX2 = {.name = "avx2"};
#endif
