#define _XOPEN_SOURCE 600
#define _DEFAULT_SOURCE  /* rates above 38400, CRTSCTS: Linux */
#define _DARWIN_C_SOURCE /* the same: macOS */
#include "posix_serial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "sparseflow_link_protocol.h"

#ifndef CRTSCTS
#define CRTSCTS 0
#endif

static const struct {
    uint32_t baud;
    speed_t constant;
} RATES[] = {
    {1200, B1200},       {2400, B2400},     {4800, B4800},     {9600, B9600},
    {19200, B19200},     {38400, B38400},
#ifdef B57600
    {57600, B57600},     {115200, B115200}, {230400, B230400},
#endif
#ifdef B460800
    {460800, B460800},   {921600, B921600},
#endif
#ifdef B500000
    {500000, B500000},   {576000, B576000},
#endif
#ifdef B1000000
    {1000000, B1000000}, {1152000, B1152000}, {1500000, B1500000},
#endif
#ifdef B2000000
    {2000000, B2000000}, {2500000, B2500000}, {3000000, B3000000},
#endif
#ifdef B3500000
    {3500000, B3500000}, {4000000, B4000000},
#endif
};
#define COUNT (sizeof RATES / sizeof RATES[0])

static size_t rate_of(uint32_t baud)
{
    size_t at = 0;
    while (at < COUNT && RATES[at].baud != baud)
        at++;
    return at;
}

/* Baud of a setting, 0 where it has no constant. */
static uint32_t baud_of(speed_t constant)
{
    for (size_t at = 0; at < COUNT; at++)
        if (RATES[at].constant == constant)
            return RATES[at].baud;
    return 0;
}

static uint32_t rate_now(int device, const struct termios *line)
{
    uint32_t other = serial_other_rate(device);
    if (other)
        return other;
    return cfgetispeed(line) == cfgetospeed(line) ? baud_of(cfgetospeed(line)) : 0;
}

static int near(uint32_t found, uint32_t wanted)
{
    uint32_t off = found > wanted ? found - wanted : wanted - found;
    return off <= wanted / SPARSEFLOW_LINK_RATE_SLACK;
}

static int refuse(const char *name, int device, const char *why)
{
    fprintf(stderr, "%s %s\n", name, why);
    if (device >= 0)
        close(device);
    return -1;
}

static int not_opened(const char *name, int number)
{
    const char *mend = "name a port of this machine";
    char why[256];
    if (number == EACCES || number == EPERM)
        mend = "join the port's group (sudo usermod -aG dialout $USER), log in again";
    else if (number == ENOENT || number == ENXIO || number == ENODEV)
        mend = "plug the board in, name its port (ls -l /dev/serial/by-id)";
    else if (number == EBUSY)
        mend = "close the other program";
    snprintf(why, sizeof why, "cannot be opened: %s: %s", strerror(number), mend);
    return refuse(name, -1, why);
}

static int set(int device, struct termios *line, uint32_t baud)
{
    size_t at = rate_of(baud);
    line->c_iflag = line->c_oflag = line->c_lflag = 0;
    line->c_cflag = CS8 | CREAD | CLOCAL;
    line->c_cc[VMIN] = 1;
    line->c_cc[VTIME] = 0;
    /* a rate that termios knows meanwhile, where it has no constant for the wanted one */
    speed_t speed = at < COUNT ? RATES[at].constant : B38400;
    if (cfsetispeed(line, speed) || cfsetospeed(line, speed) || tcsetattr(device, TCSANOW, line))
        return -1;
    return at < COUNT ? 0 : serial_set_other_rate(device, baud);
}

/* Whether all is as it was set but the rate, which is looked at by itself. */
static int taken(const struct termios *line)
{
    tcflag_t framing = CSIZE | CSTOPB | PARENB | CREAD | CLOCAL | CRTSCTS;
    return (line->c_cflag & framing) == (CS8 | CREAD | CLOCAL) && !(line->c_oflag & OPOST) &&
           !(line->c_lflag & (ICANON | ECHO | ISIG | IEXTEN)) &&
           !(line->c_iflag & (IXON | IXOFF | ISTRIP | INLCR | IGNCR | ICRNL | BRKINT | PARMRK));
}

int serial_open(const char *name, uint32_t baud)
{
    struct termios line;
    char why[160];
    /* without O_NONBLOCK a port without a carrier would not open */
    int device = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (device < 0)
        return not_opened(name, errno);
    if (tcgetattr(device, &line))
        return refuse(name, device, "is no serial port: name one (ls -l /dev/serial/by-id)");
    int failed = set(device, &line, baud);
    if (tcgetattr(device, &line))
        return refuse(name, device, "is gone: plug the board in again");
    uint32_t now = rate_now(device, &line);
    if (failed || !near(now, baud)) {
        snprintf(why, sizeof why, "does not take %lu baud, it is at %lu: another adapter, or a "
                 "bitstream of another rate", (unsigned long)baud, (unsigned long)now);
        return refuse(name, device, why);
    }
    if (!taken(&line))
        return refuse(name, device, "does not take raw bytes of 8 bits, no parity, 1 stop bit: "
                                    "another adapter");
    tcflush(device, TCIOFLUSH);
    return device;
}
