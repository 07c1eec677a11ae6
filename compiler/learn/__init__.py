"""Learning on the array, in integers: where numbers lie, commands, cycles, bit-exact model."""
