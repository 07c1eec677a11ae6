/* Training on any CPU: vectors that the compiler makes of what there is. */
static int always(void)
{
    return 1;
}

#define KERNEL LEARN_PLAIN
#define NAME "plain"
#define USABLE always
#include "steps.h"
