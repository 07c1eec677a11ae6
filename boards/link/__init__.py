"""The serial link: gateware and protocol."""
