"""What a report says of the array beside its figures: its matrices, boards, a dense network."""
