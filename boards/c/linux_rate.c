/* Rates without a constant: Linux takes any number by termios2. In a file of its own, since the
 * kernel's header for it and <termios.h> define the same names. */
#include "posix_serial.h"

#ifdef __linux__
#include <asm/termbits.h>
#include <sys/ioctl.h>
#endif

#if defined(__linux__) && defined(TCSETS2) && defined(BOTHER)

int serial_set_other_rate(int device, uint32_t baud)
{
    struct termios2 line;
    if (ioctl(device, TCGETS2, &line))
        return -1;
    line.c_cflag &= ~(tcflag_t)(CBAUD | CBAUD << IBSHIFT); /* no rate in: that out */
    line.c_cflag |= BOTHER;
    line.c_ispeed = line.c_ospeed = baud;
    return ioctl(device, TCSETS2, &line) ? -1 : 0;
}

uint32_t serial_other_rate(int device)
{
    struct termios2 line;
    if (ioctl(device, TCGETS2, &line) || line.c_ispeed != line.c_ospeed)
        return 0;
    return line.c_ospeed;
}

#else

int serial_set_other_rate(int device, uint32_t baud)
{
    (void)device;
    (void)baud;
    return -1;
}

uint32_t serial_other_rate(int device)
{
    (void)device;
    return 0;
}

#endif
