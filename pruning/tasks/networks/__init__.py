"""Networks for classes, frames and words."""
