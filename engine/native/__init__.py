"""A packed model through the C library of ``engine/c``: built at first use, bit for bit."""
