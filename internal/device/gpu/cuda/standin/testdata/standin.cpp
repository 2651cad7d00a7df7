// A stand-in for libcuda and libnvrtc that runs on the processor, for tests. g++ compiles the kernels, and each thread
// of a group is a fiber. It is stricter than a card in what a program may rely on: memory comes filled with NaN, a
// stream does its work as late as it may, and a group whose threads do not all come to a barrier is an error.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <chrono>
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <unistd.h>
#include <vector>
#define API extern "C" __attribute__((visibility("default")))

// What stands before and after the text of a program.
static const char *prelude = R"(
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
struct dim3 { unsigned x, y, z; };
static dim3 threadIdx, blockIdx;
struct held { void (*call)(held *); void (*kernel)(); unsigned long long values[64]; };
static struct fiber { ucontext_t start; jmp_buf at; bool entered, done; char *stack; } fibers[1024], *self;
static jmp_buf scheduler;
static held *body;
static inline void __syncthreads() { if (!_setjmp(self->at)) _longjmp(scheduler, 1); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
static inline float __uint_as_float(unsigned a) { float f; memcpy(&f, &a, 4); return f; }
static inline unsigned __float_as_uint(float a) { unsigned u; memcpy(&u, &a, 4); return u; }
#define __global__
#define __device__
#define __shared__ static
#define __constant__ static const
#define __forceinline__ inline
#define __launch_bounds__(n)
static void live() { for (;;) { body->call(body); self->done = true; __syncthreads(); } }
static void resume(fiber *f) {
    self = f;
    if (_setjmp(scheduler)) return;
    if (f->entered) _longjmp(f->at, 1);
    f->entered = true;
    getcontext(&f->start);
    if (!f->stack) f->stack = (char *)malloc(64 << 10);
    f->start.uc_stack.ss_sp = f->stack;
    f->start.uc_stack.ss_size = 64 << 10;
    makecontext(&f->start, live, 0);
    setcontext(&f->start);
}
static bool run_group(int threads) {
    for (int t = 0; t < threads; t++) fibers[t].done = false;
    for (int left = threads; left > 0;) {
        int waiting = 0;
        for (int t = 0; t < threads; t++) if (!fibers[t].done) {
            threadIdx.x = t;
            resume(&fibers[t]);
            waiting += !fibers[t].done;
        }
        if (waiting != 0 && waiting != left) return false;
        left = waiting;
    }
    return true;
}
// Runs all groups of a grid. false: some threads of a group wait at a barrier that others do not come to.
extern "C" bool run_grid(held *kernel, const unsigned *grid, int threads) {
    body = kernel;
    bool whole = true;
    for (blockIdx.z = 0; blockIdx.z < grid[2] && whole; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < grid[1] && whole; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < grid[0] && whole; blockIdx.x++) whole = run_group(threads);
    if (!whole) for (fiber &f : fibers) f.entered = false; // those that wait are given up
    free(kernel);
    return whole;
}
// Keeps a kernel with the values that its parameters have now.
template <int...> struct list {};
template <class... A, int... I> static void call(held *h, void (*f)(A...), list<I...>) { f(*(A *)&h->values[I]...); }
template <class... A, int... I> static void *hold(void (*f)(A...), void **p, list<I...>) {
    held *h = (held *)malloc(sizeof(held));
    h->kernel = (void (*)())f;
    h->call = [](held *h) { call(h, (void (*)(A...))h->kernel, list<I...>()); };
    (void)(int[]){0, (memcpy(&h->values[I], p[I], sizeof(A)), 0)...};
    return h;
}
template <class... A> static void *hold(void (*f)(A...), void **p) {
    return hold(f, p, list<__integer_pack(sizeof...(A))...>());
}
)";

// ---- NVRTC. A program's image is a mark, a length and a shared object.
static const char mark[8] = "standin";
struct program { std::string text, log, image; };

static std::string contents(const std::string &file) {
    std::ifstream f(file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(f), {});
}

// A folder for the files of a compilation.
static std::string folder() {
    const char *tmp = getenv("TMPDIR");
    std::string dir = std::string(tmp ? tmp : "/tmp") + "/standin-XXXXXX";
    return mkdtemp(dir.data()) ? dir : "";
}

static void discard(const std::string &dir) {
    for (const char *name : {"/k.cu", "/k.i", "/k.cpp", "/k.so", "/log"}) unlink((dir + name).c_str());
    rmdir(dir.c_str());
}

API int nvrtcVersion(int *major, int *minor) { *major = 12, *minor = 4; return 0; }
API int nvrtcGetNumSupportedArchs(int *n) { *n = 1; return 0; }
API int nvrtcGetSupportedArchs(int *a) { *a = 80; return 0; }
API int nvrtcCreateProgram(program **p, const char *text, const char *, int, const char **, const char **) {
    *p = new program{text};
    return 0;
}
API int nvrtcCompileProgram(program *p, int, const char **) {
    std::string dir = folder(), log = " 2>>" + dir + "/log";
    if (dir.empty()) return 1;
    std::ofstream(dir + "/k.cu") << p->text;
    // After the preprocessor's first pass only the kernels are left that the options ask for, with their bounds.
    int status = system(("g++ -E -x c++ -o " + dir + "/k.i " + dir + "/k.cu" + log).c_str());
    std::string text = contents(dir + "/k.i");
    std::ofstream source(dir + "/k.cpp");
    source << prelude << text << "\n";
    const std::string declaration = "extern \"C\" __global__ void __launch_bounds__";
    for (size_t at = 0; (at = text.find(declaration, at)) != std::string::npos;) {
        size_t bound = at += declaration.size(), depth = 0;
        do depth += text[at] == '(' ? 1 : text[at] == ')' ? -1 : 0; while (at++ < text.size() && depth > 0);
        std::string threads = text.substr(bound, at - bound), name = text.substr(at, text.find('(', at) - at);
        name.erase(0, name.find_first_not_of(" \t\n"));
        source << "extern \"C\" void *hold_" << name << "(void **p) { return hold(" << name << ", p); }\n"
               << "extern \"C\" int threads_" << name << "() { return " << threads << "; }\n";
    }
    source.close();
    if (!status)
        status = system(("g++ -std=c++17 -O1 -U_FORTIFY_SOURCE -shared -fPIC -o " + dir + "/k.so " + dir + "/k.cpp" +
                         log).c_str());
    p->log = contents(dir + "/log");
    std::string object = contents(dir + "/k.so");
    uint64_t size = object.size();
    p->image = std::string(mark, 8) + std::string((char *)&size, 8) + object;
    discard(dir);
    return status ? 6 : 0;
}
API int nvrtcGetProgramLogSize(program *p, size_t *n) { *n = p->log.size() + 1; return 0; }
API int nvrtcGetProgramLog(program *p, char *out) { strcpy(out, p->log.c_str()); return 0; }
API int nvrtcGetCUBINSize(program *p, size_t *n) { *n = p->image.size(); return 0; }
API int nvrtcGetCUBIN(program *p, char *out) { memcpy(out, p->image.data(), p->image.size()); return 0; }
API int nvrtcGetPTXSize(program *, size_t *) { return 7; }
API int nvrtcGetPTX(program *, char *) { return 7; }
API int nvrtcDestroyProgram(program **p) { delete *p; *p = nullptr; return 0; }

// ---- libcuda. A call on a thread without a context fails, and after a failed kernel every call does.
struct function { void *(*hold)(void **); bool (*run)(void *, const unsigned *, int); int threads; };
struct stream { std::deque<std::function<void()>> work; size_t begun = 0, appended = 0; };
struct event { stream *of = nullptr; size_t position = 0; std::chrono::steady_clock::time_point time; };
static std::map<stream *, bool> streams;
static std::map<uint64_t, size_t> memory;
static const size_t total = 4ull << 30;
static int failed, events, modules, retained;
static char left[200];
static thread_local void *current;
static std::mutex one; // several drivers may use the card at once, each from a thread of its own
#define NEED std::lock_guard<std::mutex> lock(one); if (!current) return 201; if (failed) return failed

// Does a stream's work up to a position. Work may wait for another stream, and does its work then.
static void advance(stream *s, size_t position) {
    while (s->begun < position) {
        auto f = std::move(s->work.front());
        s->work.pop_front();
        s->begun++;
        f();
    }
}
static int finish() {
    for (auto &[s, _] : streams) advance(s, s->appended);
    return failed;
}
static int append(stream *s, std::function<void()> f) {
    s->work.push_back(f);
    s->appended++;
    return 0;
}

API int cuInit(unsigned) { return getenv("STANDIN_NO_CARD") ? 100 : 0; }
API int cuDriverGetVersion(int *v) { *v = 12040; return 0; }
API int cuDeviceGetCount(int *n) { *n = 1; return 0; }
API int cuDeviceGet(int *d, int) { *d = 0; return 0; }
// The revision keeps programs apart that stand-ins of other sources have left in a cache.
API int cuDeviceGetName(char *s, int n, int) { snprintf(s, n, "stand-in " REVISION); return 0; }
API int cuDeviceTotalMem_v2(size_t *n, int) { *n = total; return 0; }
API int cuDeviceGetAttribute(int *v, int a, int) {
    *v = a == 1 ? 1024 : a == 8 ? 48 << 10 : a == 16 ? 4 : a == 75 ? 8 : 0;
    return 0;
}
API int cuGetErrorName(int code, const char **name) {
    *name = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : code == 201 ? "CUDA_ERROR_INVALID_CONTEXT" :
            code == 719 ? "CUDA_ERROR_LAUNCH_FAILED" : code == 999 ? left : "another error";
    return 0;
}
API int cuDevicePrimaryCtxRetain(void **c, int) {
    std::lock_guard<std::mutex> lock(one);
    *c = (void *)1;
    retained++;
    return 0;
}
// Who is the last to go and has not given everything back makes a mistake, though a card would not mind.
API int cuDevicePrimaryCtxRelease_v2(int) {
    std::lock_guard<std::mutex> lock(one);
    if (--retained > 0) return 0;
    int lost = memory.size() + streams.size() + events + modules;
    snprintf(left, sizeof left, "left over: %zu of memory, %zu streams, %d events, %d modules", memory.size(),
             streams.size(), events, modules);
    for (auto &[p, _] : memory) free((void *)p);
    memory.clear(), streams.clear();
    failed = events = modules = 0;
    return lost ? 999 : 0;
}
API int cuCtxSetCurrent(void *c) { current = c; return 0; }

static int allocate(uint64_t *p, size_t n, int filling) {
    size_t used = 0;
    for (auto &[_, size] : memory) used += size;
    if (n == 0) return 1;
    if (n > total - used) return 2;
    *p = (uint64_t)aligned_alloc(512, (n + 511) / 512 * 512);
    if (!*p) return 2;
    memset((void *)*p, filling, n);
    memory[*p] = n;
    return 0;
}
static int release(uint64_t p) {
    if (!memory.erase(p)) return 1;
    free((void *)p);
    return 0;
}
API int cuMemAlloc_v2(uint64_t *p, size_t n) { NEED; return allocate(p, n, 0xFF); }
API int cuMemFree_v2(uint64_t p) { NEED; finish(); return release(p); }
API int cuMemHostAlloc(uint64_t *p, size_t n, unsigned) { NEED; return allocate(p, n, 0xFF); }
API int cuMemFreeHost(uint64_t p) { NEED; return release(p); }
static int copy(uint64_t to, uint64_t from, size_t n, stream *s) {
    return append(s, [=] { memcpy((void *)to, (void *)from, n); });
}
API int cuMemcpyHtoDAsync_v2(uint64_t to, uint64_t from, size_t n, stream *s) { NEED; return copy(to, from, n, s); }
API int cuMemcpyDtoHAsync_v2(uint64_t to, uint64_t from, size_t n, stream *s) { NEED; return copy(to, from, n, s); }
API int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t n, stream *s) { NEED; return copy(to, from, n, s); }
API int cuMemsetD32Async(uint64_t to, unsigned word, size_t n, stream *s) {
    NEED;
    return append(s, [=] { std::fill_n((unsigned *)to, n, word); });
}

API int cuStreamCreate(stream **s, unsigned) { NEED; streams[*s = new stream] = true; return 0; }
API int cuStreamDestroy_v2(stream *s) { NEED; streams.erase(s); delete s; return 0; }
API int cuStreamSynchronize(stream *s) { NEED; advance(s, s->appended); return failed; }
API int cuStreamWaitEvent(stream *s, event *e, unsigned) {
    NEED;
    if (!e->of) return 0;
    return append(s, [of = e->of, position = e->position] { advance(of, position); });
}
API int cuEventCreate(event **e, unsigned) { NEED; *e = new event; events++; return 0; }
API int cuEventDestroy_v2(event *e) { NEED; finish(); delete e; events--; return 0; }
API int cuEventRecord(event *e, stream *s) {
    NEED;
    append(s, [=] { e->time = std::chrono::steady_clock::now(); });
    e->of = s;
    e->position = s->appended;
    return 0;
}
API int cuEventSynchronize(event *e) { NEED; if (e->of) advance(e->of, e->position); return failed; }
API int cuEventElapsedTime(float *ms, event *from, event *to) {
    NEED;
    if (!from->of || !to->of) return 400;
    if (from->of->begun < from->position || to->of->begun < to->position) return 600;
    *ms = std::chrono::duration<float, std::milli>(to->time - from->time).count();
    return 0;
}

API int cuModuleLoadData(void **m, const char *image) {
    NEED;
    if (strncmp(image, mark, 8)) return 200;
    std::string dir = folder(), file = dir + "/k.so";
    uint64_t size;
    memcpy(&size, image + 8, 8);
    std::ofstream(file, std::ios::binary).write(image + 16, size);
    *m = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    discard(dir);
    if (!*m) return 200;
    modules++;
    return 0;
}
API int cuModuleUnload(void *m) { NEED; dlclose(m); modules--; return 0; }
API int cuModuleGetFunction(function **f, void *m, const char *name) {
    NEED;
    void *hold = dlsym(m, (std::string("hold_") + name).c_str());
    if (!hold) return 500;
    auto threads = (int (*)())dlsym(m, (std::string("threads_") + name).c_str());
    *f = new function{(decltype(function::hold))hold, (decltype(function::run))dlsym(m, "run_grid"), threads()};
    return 0;
}
API int cuFuncGetAttribute(int *v, int a, function *f) { NEED; *v = a == 0 ? f->threads : 0; return 0; }
API int cuLaunchKernel(function *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                       unsigned, stream *s, void **parameters, void **) {
    NEED;
    if (!gx || !gy || !gz || gy > 65535 || gz > 65535) return 1;
    if (by != 1 || bz != 1 || (int)bx > f->threads || bx > 1024) return 1;
    void *kernel = f->hold(parameters);
    return append(s, [=] {
        unsigned grid[] = {gx, gy, gz};
        if (!f->run(kernel, grid, bx)) failed = 719;
    });
}
