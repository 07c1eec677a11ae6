// Clock, reset, and the end of the program in a LiteX SoC: 1 is right.
#include <cstdio>

#include "Vsoc.h"
#include "verilated.h"

constexpr long MOST = 20000000;  // cycles

int main() {
    VerilatedContext context;
    Vsoc soc(&context);
    for (long cycle = 0; cycle < MOST && !soc.done; cycle++) {
        soc.sys_rst = cycle < 8;
        soc.sys_clk = 0;
        soc.eval();
        soc.sys_clk = 1;
        soc.eval();
        if (soc.done == 1) std::printf("PASS after %ld cycles\n", cycle);
    }
    if (soc.done == 1) return 0;
    if (soc.done) std::printf("FAIL: the program ended with %x\n", soc.done);
    else std::printf("FAIL: no end\n");
    return 1;
}
