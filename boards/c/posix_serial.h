/* A serial port of a POSIX system: raw, 8 bits, no parity, one stop bit, at a rate.
 *
 * The settings are read back, since tcsetattr succeeds where it could do a part of its work only.
 */
#ifndef SPARSEFLOW_POSIX_SERIAL_H
#define SPARSEFLOW_POSIX_SERIAL_H

#include <stdint.h>

/* Open and set a port, throw away what came before. A descriptor that never blocks, or -1
 * after one line on stderr that says what is wrong and what to do. */
int serial_open(const char *name, uint32_t baud);

/* Rates without a constant of termios, where the system takes them (Linux: termios2, BOTHER).
 * 0, or -1. */
int serial_set_other_rate(int device, uint32_t baud);

/* The rate of a port in both directions, by the same way; 0 where it is not known or they differ. */
uint32_t serial_other_rate(int device);

#endif /* SPARSEFLOW_POSIX_SERIAL_H */
