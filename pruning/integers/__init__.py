"""From float to the integers of the hardware."""
