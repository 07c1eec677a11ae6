"""The front door: commands that take a trained LSTM to verified Verilog and a report."""

__version__ = "0.1.0"
