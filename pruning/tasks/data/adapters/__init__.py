"""From files that people have to sequences with answers, scales and names."""
