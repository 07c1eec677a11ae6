"""Steps of the cells forward with a tape, and back, in numpy."""
