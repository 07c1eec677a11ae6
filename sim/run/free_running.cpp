// The scenario of sim/scenario.py as a program around a Verilated model: it runs without a
// call into any other language, so its speed is that of the model.
//
// simulation FOLDER: reads frames.bin, load.bin and job.txt there, writes states.bin, cycles.bin
// and outcome.txt. Payloads are 32-bit words, lowest first. Built with MATRIX it also reads
// matrix.bin, the words of a streamed design, with PLANES planes.bin, a memory of planes.
// simulation FOLDER faults START IDLE: also reads faults.txt, a stream (0 load, 1 frames), a count and
// as many words and bits a line, the first of the stream, the others of load; writes faults.out, a
// line of what each flip did, IDLE cycles after the last state. The last START words of load.bin
// must start the program.
// simulation FOLDER restarts RELOAD: also reads restarts.txt, a cycle a line; writes restarts.out,
// a line of how the good job went after a start in that cycle of another. With RELOAD = 1 it
// loads everything again, else its frames come at once.
// simulation FOLDER activity: as without it, and writes how often each signal changes while frames
// run, to activity.saif or activity.vcd: only where it was built to.
// simulation FOLDER bare CYCLES: only clocks the model, with a frame on offer and all states
// taken; the ceiling of what any bench can reach.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <string>
#include <vector>

#include "Vmodel.h"
#include "verilated.h"
#if defined(ACTIVITY_SAIF)
#include "verilated_saif_c.h"
using Tracer = VerilatedSaifC;
static const char* const ACTIVITY = "activity.saif";
#elif defined(ACTIVITY_VCD)
#include "verilated_vcd_c.h"
using Tracer = VerilatedVcdC;
static const char* const ACTIVITY = "activity.vcd";
#else
struct Tracer {  // of a build that traces nothing
    void dump(uint64_t) {}
};
#endif

#if defined(ACTIVITY_SAIF)
// Verilator counts what is 1 at first as a change; `first` is a file of that moment alone.
static void without_first(const std::string& path, const std::string& first) {
    std::ifstream all(path), start(first);
    std::string text, line, other;
    const std::string count = "(TC ";
    while (std::getline(all, line) && std::getline(start, other)) {
        const std::size_t at = line.rfind(count), there = other.rfind(count);
        if (at != std::string::npos && there != std::string::npos) {
            const uint64_t changes = std::stoull(line.substr(at + count.size()));
            const uint64_t given = std::stoull(other.substr(there + count.size()));
            line = line.substr(0, at) + count + std::to_string(changes - given) + "))";
        }
        text += line + "\n";
    }
    std::ofstream(path) << text;
    std::remove(first.c_str());
}
#endif

// Looks at all signals twice a cycle of ten time units, from the cycle on in which it begins.
struct Watch {
    Tracer* tracer = nullptr;
    Tracer* start = nullptr;  // of the first moment alone
    bool open = false;
    uint64_t first = 0;
    void begin(uint64_t cycle) {
        if (!open) first = cycle;
        open = true;
    }
    void look(uint64_t cycle, int after) {
        if (!tracer || !open) return;
        if (start) start->dump(0);
        start = nullptr;
        tracer->dump(10 * (cycle - first) + after);
    }
};

using Words = std::vector<uint32_t>;

static void put(CData& port, const uint32_t* from) { port = static_cast<CData>(from[0]); }
static void put(SData& port, const uint32_t* from) { port = static_cast<SData>(from[0]); }
static void put(IData& port, const uint32_t* from) { port = from[0]; }
static void put(QData& port, const uint32_t* from) {
    port = from[0] | static_cast<QData>(from[1]) << 32;
}
template <std::size_t N>
static void put(VlWide<N>& port, const uint32_t* from) {
    for (std::size_t i = 0; i < N; i++) port[i] = from[i];
}
static void get(uint64_t port, Words& to, std::size_t words) {
    for (std::size_t i = 0; i < words; i++) to.push_back(static_cast<uint32_t>(port >> 32 * i));
}
template <std::size_t N>
static void get(const VlWide<N>& port, Words& to, std::size_t) {
    for (std::size_t i = 0; i < N; i++) to.push_back(port[i]);
}

static Words read_words(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    Words words(static_cast<std::size_t>(file.tellg()) / 4);
    file.seekg(0);
    file.read(reinterpret_cast<char*>(words.data()), 4 * words.size());
    return words;
}

template <typename T>
static void write_all(const std::string& path, const std::vector<T>& values) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(values.data()), sizeof(T) * values.size());
    if (!file) std::exit(3);
}

// Python's random.Random(seed).random(), so that a seed pauses in the same cycles as in cocotb.
struct Random {
    static const int N = 624, M = 397;
    uint32_t state[N];
    int at = N;
    explicit Random(uint64_t seed) {
        const uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
        const uint32_t keys = key[1] ? 2 : 1;
        state[0] = 19650218u;
        for (int i = 1; i < N; i++) state[i] = mixed(i, 1812433253u) + i;
        int i = 1;
        uint32_t j = 0;
        for (int k = N; k; k--) {
            state[i] = (state[i] ^ mixed(i, 1664525u)) + key[j] + j;
            i = next(i);
            j = (j + 1) % keys;
        }
        for (int k = N - 1; k; k--) {
            state[i] = (state[i] ^ mixed(i, 1566083941u)) - i;
            i = next(i);
        }
        state[0] = 0x80000000u;
    }
    uint32_t mixed(int i, uint32_t factor) const {
        return (state[i - 1] ^ state[i - 1] >> 30) * factor;
    }
    int next(int i) {
        if (i + 1 < N) return i + 1;
        state[0] = state[N - 1];
        return 1;
    }
    uint32_t word() {
        if (at == N) {
            for (int i = 0; i < N; i++) {
                const uint32_t y = (state[i] & 0x80000000u) | (state[(i + 1) % N] & 0x7fffffffu);
                state[i] = state[(i + M) % N] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
            }
            at = 0;
        }
        uint32_t y = state[at++];
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c5680u;
        y ^= y << 15 & 0xefc60000u;
        return y ^ y >> 18;
    }
    double real() {
        const uint32_t a = word() >> 5, b = word() >> 6;
        return (a * 67108864.0 + b) / 9007199254740992.0;
    }
};

// Whether an end of a stream does not take part in a cycle.
struct Pauses {
    double share;
    Random source;
    Pauses(double share, uint64_t seed) : share(share), source(seed) {}
    bool now() { return share > 0 && source.real() < share; }
};

struct Job {
    std::size_t frame_words, state_words, beats_out, limit, idle_seed, stall_seed;
    double idle, stall;
    std::size_t matrix_words, beat_words;  // of a payload, of a beat
    uint64_t base, bytes, latency;         // of the planes
    Words frames, load, matrix, planes;
    std::size_t frame_count() const { return frames.size() / frame_words; }
};

static Job read_job(const std::string& folder) {
    Job job{};
    std::ifstream(folder + "job.txt") >> job.frame_words >> job.state_words >> job.beats_out >>
        job.limit >> job.idle >> job.idle_seed >> job.stall >> job.stall_seed >>
        job.matrix_words >> job.beat_words >> job.base >> job.bytes >> job.latency;
    job.frames = read_words(folder + "frames.bin");
    job.load = read_words(folder + "load.bin");
#if defined(MATRIX)
    job.matrix = read_words(folder + "matrix.bin");
#endif
#if defined(PLANES)
    job.planes = read_words(folder + "planes.bin");
#endif
    return job;
}

// The words of a streamed design: one is on offer in every cycle, the first again after the last.
struct Matrix {
    const Job& job;
    std::size_t at = 0;
    explicit Matrix(const Job& job) : job(job) {}
#if defined(MATRIX)
    void offer(Vmodel& model) {
        if (job.matrix.empty()) return;
        model.matrix___05Fvalid = 1;
        put(model.matrix___05Fpayload, &job.matrix[at]);
    }
    void take(Vmodel& model) {
        if (model.matrix___05Fvalid && model.matrix___05Fready) at = (at + job.matrix_words) % job.matrix.size();
    }
#else
    void offer(Vmodel&) {}
    void take(Vmodel&) {}
#endif
};

// The memory of sim/axi_memory.py, which takes every address at once and is late by `latency`.
struct Memory {
    const Job& job;
    std::string broken;  // the first rule of AXI4 that the master broke
    explicit Memory(const Job& job) : job(job) {}
#if defined(PLANES)
    struct Beat {
        uint64_t at;
        bool last;
        uint64_t earliest;
    };
    std::deque<Beat> beats;
    uint64_t next = 0;
    bool valid = false;
    void offer(Vmodel& model, uint64_t cycle) {
        static const Words zeros(16);
        model.planes_base = job.base;
        model.m_axi_planes_arready = 1;
        valid = !beats.empty() && cycle >= beats.front().earliest && cycle >= next;
        model.m_axi_planes_rvalid = valid;
        if (!valid) return;
        const uint64_t at = beats.front().at - job.base;
        const bool there = at < job.bytes && at + 4 * job.beat_words <= job.bytes;
        put(model.m_axi_planes_rdata, there ? &job.planes[at / 4] : zeros.data());
        model.m_axi_planes_rresp = there ? 0 : 3;
        model.m_axi_planes_rlast = beats.front().last;
    }
    void take(Vmodel& model, uint64_t cycle) {
        if (valid && model.m_axi_planes_rready) {
            beats.pop_front();
            next = cycle + 1;
        }
        if (!model.m_axi_planes_arvalid) return;
        const uint64_t address = model.m_axi_planes_araddr, size = 4 * job.beat_words;
        const uint64_t count = model.m_axi_planes_arlen + 1u;
        if ((1u << model.m_axi_planes_arsize) != size || model.m_axi_planes_arburst != 1)
            broke("arsize or arburst", address);
        if (address % size || address % 4096 + count * size > 4096)
            broke("a burst that crosses 4096 bytes", address);
        for (uint64_t i = 0; i < count; i++)
            beats.push_back({address + i * size, i + 1 == count, cycle + job.latency});
    }
    void end(Vmodel& model) {
        if (model.planes_errors) broke("planes_errors after the last frame", job.base);
    }
    void broke(const std::string& rule, uint64_t address) {
        if (broken.empty()) broken = rule + " at address " + std::to_string(address);
    }
#else
    void offer(Vmodel&, uint64_t) {}
    void take(Vmodel&, uint64_t) {}
    void end(Vmodel&) {}
#endif
};

static void reset(Vmodel& model) {
    model.clk = model.rst = 0;
#if defined(MATRIX)
    model.matrix___05Fvalid = 0;
#endif
#if defined(PLANES)
    model.planes_base = 0;
    model.m_axi_planes_arready = model.m_axi_planes_rvalid = model.m_axi_planes_rid = 0;
#endif
    model.frames___05Fvalid = model.states___05Fready = model.load___05Fvalid = 0;
    model.eval();
    model.rst = 1;
    for (int i = 0; i < 3; i++) {
        model.clk = 1;
        model.eval();
        model.clk = 0;
        model.eval();
    }
    model.rst = 0;
}

struct Result {
    Words states;
    std::vector<uint64_t> cycles;  // from the first frame beat on
    std::size_t loaded = 0, sent = 0;
    uint64_t total = 0;
    bool hung = false, fault = false, halted = false;
    std::string broken;  // what went wrong on the bus of planes
};

// Load, stream frames in, take states out; `note`, if not empty, is told how far it is.
static Result run(Vmodel& model, const Job& job, const std::string& note, Watch watch = {}) {
    Pauses idle(job.idle, job.idle_seed), stall(job.stall, job.stall_seed);
    Result out;
    Matrix matrix(job);
    Memory planes(job);
    const std::size_t frame_count = job.frame_count();
    std::size_t moved = 0;
    uint64_t cycle = 0, first = 0, moved_at = 0;
    bool offering = false;
    auto noted = std::chrono::steady_clock::now();
    while ((out.loaded < job.load.size() || out.cycles.size() < job.beats_out) && !out.hung) {
        const bool running = out.loaded == job.load.size();
        model.load___05Fvalid = !running;
        if (!running) model.load___05Fpayload = job.load[out.loaded];
        const bool takes = running && !stall.now();
        model.states___05Fready = takes;
        if (running && !offering && out.sent < frame_count && !idle.now()) {
            offering = true;
            put(model.frames___05Fpayload, &job.frames[out.sent * job.frame_words]);
        }
        model.frames___05Fvalid = offering;
        matrix.offer(model);
        planes.offer(model, cycle);
        model.eval();
        matrix.take(model);
        planes.take(model, cycle);
        if (running) watch.begin(cycle);
        watch.look(cycle, 0);
        if (!running && model.load___05Fready) out.loaded++;
        if (takes && model.states___05Fvalid) {
            get(model.states___05Fpayload, out.states, job.state_words);
            out.cycles.push_back(cycle);
        }
        if (offering && model.frames___05Fready) {
            if (out.sent == 0) first = cycle;
            offering = false;
            out.sent++;
        }
        out.fault |= model.fault;
        const std::size_t now = out.loaded + out.sent + out.cycles.size();
        if (now != moved) {
            moved = now;
            moved_at = cycle;
        }
        out.hung = cycle - moved_at > job.limit;
        model.clk = 1;
        model.eval();
        watch.look(cycle, 5);
        model.clk = 0;
        cycle++;
        if (!note.empty() && cycle % 4096 == 0) {
            const auto time = std::chrono::steady_clock::now();
            if (time - noted > std::chrono::milliseconds(250)) {
                noted = time;
                std::ofstream(note) << out.cycles.size();
            }
        }
    }
    watch.look(cycle, 0);
    planes.end(model);
    out.broken = planes.broken;
    out.halted = model.halted;
    out.total = cycle;
    for (auto& at : out.cycles) at -= first;
    return out;
}

// Cycles in which nothing comes, and whether `fault` did.
static bool faulty(Vmodel& model, uint64_t cycles) {
    bool found = false;
    model.frames___05Fvalid = model.load___05Fvalid = 0;
    for (; cycles; cycles--) {
        model.clk = 1;
        model.eval();
        model.clk = 0;
        model.eval();
        found |= model.fault;
    }
    return found;
}

static bool same(const Result& a, const Result& b) {
    return !a.hung && a.states == b.states && a.cycles == b.cycles;
}

// As a driver recovers: load, and only then start from a reset. A program that was damaged
// may run from the first reset on, and its states would be in the way.
static bool recovers(Vmodel& model, const Job& job, const Result& good, std::size_t words) {
    Job load = job, start = job;
    load.frames.clear();
    load.beats_out = 0;
    start.load.assign(job.load.end() - words, job.load.end());
    reset(model);
    run(model, load, "");
    reset(model);
    return same(run(model, start, ""), good);
}

// Exit status by which sim/run/free_running.py knows a hang, and a bus that was not kept to.
static const int HUNG = 9, BROKEN = 10;

// Each flip on a model of its own, whose memories are blank; then the good job on the same one.
static int faults(const Job& job, const std::string& folder, std::size_t start, uint64_t idle) {
    VerilatedContext context;
    Vmodel first(&context);
    reset(first);
    const Result good = run(first, job, "");
    if (good.hung) return HUNG;
    write_all(folder + "states.bin", good.states);
    write_all(folder + "cycles.bin", good.cycles);
    std::ifstream flips(folder + "faults.txt");
    std::ofstream out(folder + "faults.out");
    std::size_t stream, count, word, bit;
    while (flips >> stream >> count) {
        Job bad = job;
        for (; count; count--, stream = 0) {
            flips >> word >> bit;
            (stream ? bad.frames : bad.load).at(word) ^= 1u << bit;
        }
        VerilatedContext own;
        Vmodel model(&own);
        reset(model);
        Result got = run(model, bad, "");
        got.fault |= faulty(model, idle);
        const bool started = same(run(model, job, ""), good);
        const bool recovered = recovers(model, job, good, start);
        out << (got.hung ? "stopped" : got.states != good.states ? "mismatch"
                : got.cycles != good.cycles ? "late" : "masked")
            << " " << got.fault << " " << got.halted << " " << started << " " << recovered << "\n";
    }
    return 0;
}

// A job up to the start, `at` cycles after it was loaded.
static void interrupted(Vmodel& model, const Job& job, uint64_t at) {
    std::size_t sent = 0;
    Job load = job;
    load.frames.clear();
    load.beats_out = 0;
    run(model, load, "");
    model.states___05Fready = 1;
    for (uint64_t cycle = 1; cycle <= at; cycle++) {
        model.load___05Fvalid = cycle == at;
        model.load___05Fpayload = job.load.back();
        model.frames___05Fvalid = sent < job.frame_count();
        if (sent < job.frame_count())
            put(model.frames___05Fpayload, &job.frames[sent * job.frame_words]);
        model.eval();
        sent += model.frames___05Fvalid && model.frames___05Fready;
        model.clk = 1;
        model.eval();
        model.clk = 0;
    }
    model.load___05Fvalid = model.frames___05Fvalid = model.states___05Fready = 0;
    model.eval();
}

// Each start on a model of its own, whose memories are blank.
static int restarts(const Job& job, const std::string& folder, bool reload) {
    VerilatedContext context;
    Vmodel first(&context);
    reset(first);
    const Result good = run(first, job, "");
    if (good.hung) return HUNG;
    Job clean = job;
    if (!reload) clean.load.clear();
    std::ifstream cycles(folder + "restarts.txt");
    std::ofstream out(folder + "restarts.out");
    uint64_t at;
    while (cycles >> at) {
        VerilatedContext own;
        Vmodel model(&own);
        reset(model);
        interrupted(model, job, at);
        const Result got = run(model, clean, "");
        out << (got.hung ? "hung" : got.states != good.states ? "wrong"
                : got.cycles != good.cycles ? "late" : "right") << "\n";
    }
    return 0;
}

static int bare(Vmodel& model, const Job& job, const std::string& folder, uint64_t cycles) {
    reset(model);
    put(model.frames___05Fpayload, job.frames.data());
    model.frames___05Fvalid = model.states___05Fready = 1;
    const auto started = std::chrono::steady_clock::now();
    for (uint64_t i = 0; i < cycles; i++) {
        model.clk = 1;
        model.eval();
        model.clk = 0;
        model.eval();
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
    std::ofstream(folder + "outcome.txt") << cycles << " " << seconds.count() << "\n";
    return 0;
}

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    const std::string folder = std::string(argv[1]) + "/", mode = argc > 2 ? argv[2] : "";
    const Job job = read_job(folder);
    if (mode == "faults" && argc == 5)
        return faults(job, folder, std::strtoull(argv[3], 0, 10), std::strtoull(argv[4], 0, 10));
    if (mode == "restarts") return restarts(job, folder, argc == 4 && *argv[3] == '1');
    VerilatedContext context;
    if (mode == "activity") context.traceEverOn(true);
    Vmodel model(&context);
    if (mode == "bare" && argc == 4) return bare(model, job, folder, std::strtoull(argv[3], 0, 10));
    reset(model);
    Watch watch;
#if defined(ACTIVITY_SAIF) || defined(ACTIVITY_VCD)
    Tracer tracer, start;
    if (mode == "activity") {
        context.timeunit(-9);  // so that a clock is one of 100 MHz
        context.timeprecision(-9);
        tracer.set_time_unit("1ns");
        tracer.set_time_resolution("1ns");
        model.trace(&tracer, 99);
        tracer.open((folder + ACTIVITY).c_str());
        watch.tracer = &tracer;
#if defined(ACTIVITY_SAIF)
        model.trace(&start, 99);
        start.open((folder + "first.saif").c_str());
        watch.start = &start;
#endif
    }
#endif
    const auto started = std::chrono::steady_clock::now();
    const Result out = run(model, job, folder + "progress", watch);
#if defined(ACTIVITY_SAIF) || defined(ACTIVITY_VCD)
    tracer.close();
    start.close();
#endif
#if defined(ACTIVITY_SAIF)
    if (mode == "activity") without_first(folder + ACTIVITY, folder + "first.saif");
#endif
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
    if (out.hung) {
        std::printf("nothing moved for %zu cycles (now %llu): loaded %zu of %zu words, took %zu of "
                    "%zu frame beats, gave %zu of %zu state beats\n",
                    job.limit, static_cast<unsigned long long>(out.total), out.loaded,
                    job.load.size(), out.sent, job.frame_count(), out.cycles.size(), job.beats_out);
        return HUNG;
    }
    if (!out.broken.empty()) {
        std::printf("m_axi_planes: %s\n", out.broken.c_str());
        return BROKEN;
    }
    write_all(folder + "states.bin", out.states);
    write_all(folder + "cycles.bin", out.cycles);
    std::ofstream(folder + "outcome.txt") << out.total << " " << seconds.count() << "\n";
    return 0;
}
