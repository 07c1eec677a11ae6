"""What the examples' pages say of scores: their own commands, run one after the other."""
