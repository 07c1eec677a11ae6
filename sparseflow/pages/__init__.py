"""Tables, JSON and pages about what was done."""
