/* A system whose ports succeed in being set and stay as they are, in the place of libc's. */
#include <errno.h>
#include <stdlib.h>
#include <termios.h>

int tcsetattr(int device, int when, const struct termios *line)
{
    (void)device;
    (void)when;
    (void)line;
    if (!getenv("STUBBORN_FAILS"))
        return 0;
    errno = EINVAL;
    return -1;
}
