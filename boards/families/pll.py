"""A phase-locked loop from the board's oscillator to the accelerator's clock, in Verilog."""

from __future__ import annotations

from ..board import Board, BoardError

__all__ = ["clock_verilog"]

ECP5_VCO = (400e6, 800e6)
ICE40_VCO = (533e6, 1066e6)
# of GW2A at grade C8/I7, as apycula's gowin_pll has them
GOWIN_VCO, GOWIN_DETECTOR = (500e6, 1250e6), 3e6
GOWIN_AFTER = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)


def clock_verilog(board: Board) -> str:
    """Verilog that makes ``clock`` and ``locked`` of the port ``clk``.

    Raises
    ------
    BoardError
        If no setting of the loop gives exactly this clock.
    """
    if board.clock_hz == board.oscillator_hz:
        return "    wire clock = clk;\n    wire locked = 1'b1;\n"
    makers = {"ecp5": _ecp5, "ice40": _ice40, "gowin": _gowin}
    if board.flow not in makers:
        raise BoardError(
            f"board {board.name}: clock {board.clock_hz} Hz: its flow has no loop here, "
            f"take the oscillator's {board.oscillator_hz} Hz"
        )
    return makers[board.flow](board)


def _none(board: Board) -> BoardError:
    return BoardError(
        f"board {board.name}: no setting of its loop makes {board.clock_hz} Hz of "
        f"{board.oscillator_hz} Hz: choose a multiple of {board.oscillator_hz // 5} Hz"
    )


def _ecp5(board: Board) -> str:
    fin, fout = board.oscillator_hz, board.clock_hz
    for divide in range(1, 9):
        multiply, rest = divmod(fout * divide, fin)
        after = [n for n in range(1, 129) if ECP5_VCO[0] <= fout * n <= ECP5_VCO[1]]
        if rest == 0 and 1 <= multiply <= 80 and after:
            return ECP5.format(divide=divide, multiply=multiply, after=after[-1])
    raise _none(board)


def _ice40(board: Board) -> str:
    fin, fout = board.oscillator_hz, board.clock_hz
    for reference in range(16):
        for after in range(7):
            vco = fout << after
            feedback, rest = divmod(vco * (reference + 1), fin)
            if rest == 0 and 1 <= feedback <= 128 and ICE40_VCO[0] <= vco <= ICE40_VCO[1]:
                span = 1 if fin // (reference + 1) < 17e6 else 2
                return ICE40.format(
                    reference=reference, feedback=feedback - 1, after=after, span=span
                )
    raise _none(board)


def _gowin(board: Board) -> str:
    fin, fout = board.oscillator_hz, board.clock_hz
    after = [n for n in GOWIN_AFTER if GOWIN_VCO[0] <= fout * n <= GOWIN_VCO[1]]
    for divide in range(1, 65):
        multiply, rest = divmod(fout * divide, fin)
        if rest == 0 and 1 <= multiply <= 64 and fin >= GOWIN_DETECTOR * divide and after:
            return GOWIN.format(
                megahertz=fin / 1e6, divide=divide - 1, multiply=multiply - 1, after=after[0]
            )
    raise _none(board)


ECP5 = """    wire clock, locked;
    EHXPLLL #(
        .CLKI_DIV({divide}), .CLKFB_DIV({multiply}), .CLKOP_DIV({after}),
        .CLKOP_ENABLE("ENABLED"), .FEEDBK_PATH("CLKOP"), .CLKOP_CPHASE({after} - 1),
        .CLKOP_FPHASE(0), .CLKOP_TRIM_DELAY(0), .CLKOP_TRIM_POL("FALLING"),
        .STDBY_ENABLE("DISABLED"), .INTFB_WAKE("DISABLED"), .PLLRST_ENA("DISABLED"),
        .DPHASE_SOURCE("DISABLED")
    ) pll (
        .CLKI(clk), .CLKFB(clock), .CLKOP(clock), .LOCK(locked), .RST(1'b0), .STDBY(1'b0),
        .PHASESEL0(1'b0), .PHASESEL1(1'b0), .PHASEDIR(1'b0), .PHASESTEP(1'b0),
        .PHASELOADREG(1'b0), .PLLWAKESYNC(1'b0), .ENCLKOP(1'b0)
    );
"""
ICE40 = """    wire clock, locked;
    SB_PLL40_PAD #(
        .FEEDBACK_PATH("SIMPLE"), .DIVR({reference}), .DIVF({feedback}), .DIVQ({after}),
        .FILTER_RANGE({span})
    ) pll (
        .PACKAGEPIN(clk), .PLLOUTGLOBAL(clock), .LOCK(locked), .RESETB(1'b1), .BYPASS(1'b0)
    );
"""
GOWIN = """    wire clock, locked;
    rPLL #(
        .FCLKIN("{megahertz:g}"), .IDIV_SEL({divide}), .FBDIV_SEL({multiply}), .ODIV_SEL({after}),
        .DYN_IDIV_SEL("false"), .DYN_FBDIV_SEL("false"), .DYN_ODIV_SEL("false"),
        .DYN_DA_EN("false"), .CLKFB_SEL("internal"), .CLKOUT_BYPASS("false"),
        .DEVICE("GW2A-18C")
    ) pll (
        .CLKIN(clk), .CLKOUT(clock), .LOCK(locked), .CLKFB(1'b0), .RESET(1'b0), .RESET_P(1'b0),
        .FBDSEL(6'd0), .IDSEL(6'd0), .ODSEL(6'd0), .PSDA(4'd0), .DUTYDA(4'd0), .FDLY(4'd0)
    );
"""
