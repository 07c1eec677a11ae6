// The accelerator on its buses as a program around a Verilated model, asked over its standard input.
//
// simulation SHARE SEED: in each cycle each channel of AXI4-Lite and each stream pauses with the
// probability SHARE. A request is three words, its kind, an argument and a count, and the words that
// go with it; all words are of 32 bits, lowest byte first.
//   0 read    argument: address     answers with a response code and a word, COUNT times
//   1 write   argument: address     COUNT words follow; answers with a response code for each
//   2 send    argument: whether the last word ends a packet; COUNT words follow; answers with how
//             many were taken
//   3 receive                       answers with a count, whether the last ends a packet, and words
//   4 cycles                        answers with two words: clock edges so far
// A stream that does not move for PATIENCE cycles ends its request. A register that does not answer
// for LIMIT cycles ends the program with HUNG.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "Vmodel.h"
#include "verilated.h"

using Words = std::vector<uint32_t>;
static const int PATIENCE = 256, LIMIT = 100000, HUNG = 9;

// SplitMix64; a channel has a sequence of its own.
struct Pausing {
    uint64_t state;
    uint64_t below;
    Pausing(double share, uint64_t seed)
        : state(seed * 0x9E3779B97F4A7C15u), below(static_cast<uint64_t>(share * 4294967296.0)) {}
    bool now() {
        uint64_t z = (state += 0x9E3779B97F4A7C15u);
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        return ((z ^ z >> 31) >> 32) < below;
    }
};

struct Board {
    Vmodel model;
    uint64_t cycles = 0;
    Pausing address, data, response, asking, answer, sending, taking;

    Board(double share, uint64_t seed)
        : address(share, 7 * seed), data(share, 7 * seed + 1), response(share, 7 * seed + 2),
          asking(share, 7 * seed + 3), answer(share, 7 * seed + 4), sending(share, 7 * seed + 5),
          taking(share, 7 * seed + 6) {
        for (int n = 0; n < 8; n++) {
            model.aresetn = n > 3;
            settle();
            edge();
        }
    }
    void settle() {  // outputs follow inputs
        model.aclk = 0;
        model.eval();
    }
    void edge() {
        model.aclk = 1;
        model.eval();
        cycles++;
    }
    void late(int waited) {
        if (waited < LIMIT) return;
        std::fprintf(stderr, "a register does not answer for %d cycles\n", LIMIT);
        std::exit(HUNG);
    }

    uint32_t write(uint32_t to, uint32_t word) {
        bool addressed = false, given = false;
        model.s_axi_awaddr = to;
        model.s_axi_wdata = word;
        model.s_axi_wstrb = 15;
        for (int waited = 0;; waited++) {
            late(waited);
            // what is offered stays on offer
            if (!addressed && !model.s_axi_awvalid) model.s_axi_awvalid = !address.now();
            if (!given && !model.s_axi_wvalid) model.s_axi_wvalid = !data.now();
            model.s_axi_bready = addressed && given && !response.now();
            settle();
            const bool first = model.s_axi_awvalid && model.s_axi_awready;
            const bool second = model.s_axi_wvalid && model.s_axi_wready;
            const bool done = model.s_axi_bvalid && model.s_axi_bready;
            const uint32_t code = model.s_axi_bresp;
            edge();
            if (first) addressed = true, model.s_axi_awvalid = 0;
            if (second) given = true, model.s_axi_wvalid = 0;
            if (done) {
                model.s_axi_bready = 0;
                return code;
            }
        }
    }

    uint32_t read(uint32_t from, uint32_t& word) {
        bool asked = false;
        model.s_axi_araddr = from;
        for (int waited = 0;; waited++) {
            late(waited);
            if (!asked && !model.s_axi_arvalid) model.s_axi_arvalid = !asking.now();
            model.s_axi_rready = asked && !answer.now();
            settle();
            const bool taken = model.s_axi_arvalid && model.s_axi_arready;
            const bool done = model.s_axi_rvalid && model.s_axi_rready;
            const uint32_t code = model.s_axi_rresp;
            word = model.s_axi_rdata;
            edge();
            if (taken) asked = true, model.s_axi_arvalid = 0;
            if (done) {
                model.s_axi_rready = 0;
                return code;
            }
        }
    }

    uint32_t send(const Words& words, bool ends) {
        std::size_t sent = 0;
        for (int waited = 0; sent < words.size() && waited < PATIENCE; waited++) {
            if (!model.s_axis_tvalid) model.s_axis_tvalid = !sending.now();
            model.s_axis_tdata = words[sent];
            model.s_axis_tlast = ends && sent + 1 == words.size();
            settle();
            const bool taken = model.s_axis_tvalid && model.s_axis_tready;
            edge();
            if (!taken) continue;
            sent++;
            waited = -1;
            model.s_axis_tvalid = 0;
        }
        model.s_axis_tvalid = 0;  // the host asks again for what is left
        return static_cast<uint32_t>(sent);
    }

    Words receive(std::size_t most, bool& last) {
        Words found;
        last = false;
        for (int waited = 0; found.size() < most && waited < PATIENCE; waited++) {
            model.m_axis_tready = !taking.now();
            settle();
            const bool taken = model.m_axis_tvalid && model.m_axis_tready;
            if (taken) {
                found.push_back(model.m_axis_tdata);
                last = model.m_axis_tlast;
                waited = -1;
            }
            edge();
        }
        model.m_axis_tready = 0;
        return found;
    }
};

static bool got(uint32_t* to, std::size_t count) {
    return std::fread(to, sizeof(uint32_t), count, stdin) == count;
}

static void give(const Words& words) {
    std::fwrite(words.data(), sizeof(uint32_t), words.size(), stdout);
    std::fflush(stdout);
}

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    Board board(std::atof(argv[1]), std::strtoull(argv[2], nullptr, 10));
    uint32_t asked[3];
    while (got(asked, 3)) {
        const uint32_t kind = asked[0], argument = asked[1], count = asked[2];
        Words words(kind == 1 || kind == 2 ? count : 0), found;
        if (!got(words.data(), words.size())) return 3;
        bool last = false;
        switch (kind) {
            case 0:
                for (uint32_t n = 0; n < count; n++) {
                    uint32_t word = 0;
                    found.push_back(board.read(argument + 4 * n, word));
                    found.push_back(word);
                }
                break;
            case 1:
                for (const uint32_t word : words) found.push_back(board.write(argument, word));
                break;
            case 2: found = {board.send(words, argument)}; break;
            case 3:
                words = board.receive(count, last);
                found = {static_cast<uint32_t>(words.size()), last};
                found.insert(found.end(), words.begin(), words.end());
                break;
            default:
                found = {static_cast<uint32_t>(board.cycles),
                         static_cast<uint32_t>(board.cycles >> 32)};
        }
        give(found);
    }
    return 0;
}
