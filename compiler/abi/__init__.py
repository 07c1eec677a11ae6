"""What crosses the accelerator's ports: registers, frames, states, their wire format."""
