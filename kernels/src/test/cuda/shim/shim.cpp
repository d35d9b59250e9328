// Fibers, meetings and launches of the shim; see shim.h. Test code.
#include "shim.h"

#include "shim_api.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

__thread shim::Extent threadIdx, blockIdx, blockDim, gridDim;

namespace shim {

namespace {

constexpr int MAX_THREADS = 1024;
constexpr size_t STACK = 128 << 10;
constexpr size_t GUARD = 4096;
constexpr size_t SHARED = 227 << 10;
constexpr size_t CANARY = 4096;
constexpr int FAILED = 719;

struct Kernel {
  std::string name;
  void (*code)();
  Thunk thunk;
  std::vector<int> bytes;
};

std::vector<Kernel>& kernels() {
  static std::vector<Kernel> all;
  return all;
}

int reversed = -1;

struct Copy {
  void* to;
  const void* from;
  int bytes;
};

struct Fiber {
  void* stack;
  Extent index;
  int place;  // of its stack, -1 before it starts
  bool done;
  bool waiting;
  std::vector<std::vector<Copy>> groups;  // committed, oldest first
  std::vector<Copy> open;
};

struct Warp {
  unsigned mask;
  unsigned arrived;
  Work work;
  void* operands[32];
};

// All that a launch needs; kept for the next one. A thread has a stack from its first instruction to
// its last, so that threads that never wait run on one and the same, which stays in the cache.
struct Context {
  unsigned char* stacks;
  int free[MAX_THREADS];
  int frees;
  unsigned char* shared;
  Fiber fibers[MAX_THREADS];
  Warp warps[MAX_THREADS / 32];
  int threads;
  int running;
  int atBarrier;
  int moves;
  void* scheduler;
  const char* fault;
  size_t sharedBytes;
  const Kernel* kernel;
  void** params;

  Context() {
    size_t bytes = MAX_THREADS * STACK;
    stacks = static_cast<unsigned char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (stacks == MAP_FAILED) {
      abort();
    }
    for (int i = 0; i < MAX_THREADS; i++) {
      mprotect(stacks + i * STACK, GUARD, PROT_NONE);
    }
    shared = static_cast<unsigned char*>(aligned_alloc(4096, 256 << 10));
  }
};

__thread Context* context;

std::mutex lock;
std::vector<Context*> idle;

Context* take() {
  std::lock_guard<std::mutex> held(lock);
  if (idle.empty()) {
    return new Context();
  }
  Context* taken = idle.back();
  idle.pop_back();
  return taken;
}

void giveBack(Context* used) {
  std::lock_guard<std::mutex> held(lock);
  idle.push_back(used);
}

// Goes on where the other stack was left. In line and without a return, so that the processor's
// guess of where to go is right as long as threads run in step; 128 bytes below the stack's end are
// the function's own.
[[gnu::always_inline]] inline void switchStacks(void** save, void* load) {
  asm volatile(
      "leaq -128(%%rsp), %%rsp\n"
      "pushq %%rbp\n"
      "leaq 1f(%%rip), %%rax\n"
      "pushq %%rax\n"
      "movq %%rsp, (%0)\n"
      "movq %1, %%rsp\n"
      "popq %%rax\n"
      "jmp *%%rax\n"
      "1: popq %%rbp\n"
      "leaq 128(%%rsp), %%rsp\n"
      : "+D"(save), "+S"(load)
      :
      : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0",
        "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
        "xmm12", "xmm13", "xmm14", "xmm15", "cc", "memory");
}

[[gnu::always_inline]] inline void yield() {
  Context* c = context;
  switchStacks(&c->fibers[c->running].stack, c->scheduler);
}

[[noreturn]] void fail(const char* fault) {
  context->fault = fault;
  for (;;) {
    yield();
  }
}

void enter() {
  Context* c = context;
  c->kernel->thunk(c->kernel->code, c->params);
  Fiber& fiber = c->fibers[c->running];
  if (!fiber.open.empty() || !fiber.groups.empty()) {
    fail("a thread ended with asynchronous copies under way");
  }
  fiber.done = true;
  yield();
  abort();
}

void start(Context* c, Fiber& fiber) {
  fiber.place = c->free[--c->frees];
  // Tops at different distances from the page, or all stacks would share a few sets of the cache.
  size_t colour = static_cast<size_t>(fiber.place) * 576 % (STACK / 4) & ~size_t{63};
  void** top = reinterpret_cast<void**>(c->stacks + (fiber.place + 1) * STACK - colour);
  *--top = nullptr;  // aligns the stack as a call would
  *--top = reinterpret_cast<void*>(enter);
  fiber.stack = top;
}

// Runs a warp as far as it comes, so that what other warps have not done yet shows; returns how many
// of its threads ended.
int runWarp(Context* c, int warp) {
  int first = 32 * warp;
  int lanes = c->threads - first < 32 ? c->threads - first : 32;
  int ended = 0;
  for (bool moved = true; moved;) {
    moved = false;
    for (int k = 0; k < lanes; k++) {
      int t = first + (reversed ? lanes - 1 - k : k);
      Fiber& fiber = c->fibers[t];
      if (fiber.done || fiber.waiting) {
        continue;
      }
      moved = true;
      c->moves++;
      if (fiber.place < 0) {
        start(c, fiber);
      }
      c->running = t;
      threadIdx = fiber.index;
      switchStacks(&c->scheduler, fiber.stack);
      if (c->fault != nullptr) {
        return ended;
      }
      if (fiber.done) {
        ended++;
        c->free[c->frees++] = fiber.place;
      }
    }
  }
  return ended;
}

int runBlock(Context* c, unsigned sharedBytes) {
  memset(c->shared, 0xFF, sharedBytes);
  memset(c->shared + sharedBytes, 0xA5, CANARY);
  memset(c->warps, 0, sizeof c->warps);
  c->atBarrier = 0;
  c->moves = 0;
  c->sharedBytes = sharedBytes;
  c->fault = nullptr;
  c->frees = MAX_THREADS;
  for (int i = 0; i < MAX_THREADS; i++) {
    c->free[i] = MAX_THREADS - 1 - i;
  }
  for (int t = 0; t < c->threads; t++) {
    Fiber& fiber = c->fibers[t];
    unsigned x = t % blockDim.x;
    unsigned y = t / blockDim.x % blockDim.y;
    fiber.index = {x, y, t / (blockDim.x * blockDim.y)};
    fiber.place = -1;
    fiber.done = false;
    fiber.waiting = false;
    fiber.groups.clear();
    fiber.open.clear();
  }
  int warps = (c->threads + 31) / 32;
  for (int alive = c->threads; alive > 0 && c->fault == nullptr;) {
    int before = c->moves;
    for (int k = 0; k < warps && c->fault == nullptr; k++) {
      alive -= runWarp(c, reversed ? warps - 1 - k : k);
    }
    if (c->moves == before) {
      c->fault = "barrier divergence: no thread can move on";
    }
  }
  // All bytes are the same as their neighbours, and the first is as it was.
  const unsigned char* canary = c->shared + sharedBytes;
  if (c->fault == nullptr
      && (canary[0] != 0xA5 || memcmp(canary, canary + 1, CANARY - 1) != 0)) {
    c->fault = "a write beyond the dynamic shared memory";
  }
  if (c->fault != nullptr) {
    fprintf(stderr, "%s, block (%u, %u, %u): %s\n", c->kernel->name.c_str(), blockIdx.x, blockIdx.y,
        blockIdx.z, c->fault);
    return FAILED;
  }
  return 0;
}

void nothing(void**, unsigned) {}

}  // namespace

void enlist(const char* name, void (*kernel)(), Thunk thunk, int arguments, const int* bytes) {
  kernels().push_back({name, kernel, thunk, std::vector<int>(bytes, bytes + arguments)});
}

unsigned char* dynamicShared() { return context->shared; }

int lane() { return context->running & 31; }

void syncthreads() {
  Context* c = context;
  c->atBarrier++;
  if (c->atBarrier < c->threads) {
    c->fibers[c->running].waiting = true;
    yield();
    return;
  }
  c->atBarrier = 0;
  for (int t = 0; t < c->threads; t++) {
    c->fibers[t].waiting = false;
  }
}

void meet(unsigned mask, Work work, void* operands) {
  Context* c = context;
  int own = c->running & 31;
  int first = c->running & ~31;
  Warp& warp = c->warps[first / 32];
  if (!(mask >> own & 1)) {
    fail("a lane is not in the mask it names");
  }
  if (warp.arrived == 0) {
    warp.mask = mask;
    warp.work = work;
  } else if (warp.mask != mask || warp.work != work) {
    fail("warp divergence: lanes meet in different instructions");
  }
  warp.operands[own] = operands;
  warp.arrived |= 1u << own;
  if (warp.arrived != mask) {
    c->fibers[c->running].waiting = true;
    yield();
    return;
  }
  warp.arrived = 0;
  work(warp.operands, mask);
  for (int i = 0; i < 32; i++) {
    if (mask >> i & 1) {
      c->fibers[first + i].waiting = false;
    }
  }
}

void Ballot::work(void** operands, unsigned mask) {
  unsigned votes = 0;
  for (int i = 0; i < 32; i++) {
    if ((mask >> i & 1) && static_cast<Ballot*>(operands[i])->predicate) {
      votes |= 1u << i;
    }
  }
  for (int i = 0; i < 32; i++) {
    if (mask >> i & 1) {
      static_cast<Ballot*>(operands[i])->out = votes;
    }
  }
}

void requireAligned(const void* pointer, int bytes) {
  if (reinterpret_cast<uintptr_t>(pointer) % bytes != 0) {
    fail("a pointer that is not aligned");
  }
}

void requireShared(const void* pointer, int bytes) {
  requireAligned(pointer, bytes);
  const unsigned char* at = static_cast<const unsigned char*>(pointer);
  if (at < context->shared || at + bytes > context->shared + context->sharedBytes) {
    fail("an address outside the dynamic shared memory");
  }
}

void copyAsync(void* to, const void* from, int bytes) {
  context->fibers[context->running].open.push_back({to, from, bytes});
}

void commitAsync() {
  Fiber& fiber = context->fibers[context->running];
  fiber.groups.push_back(std::move(fiber.open));
  fiber.open.clear();
}

void waitAsync(int groups) {
  Fiber& fiber = context->fibers[context->running];
  while (fiber.groups.size() > static_cast<size_t>(groups)) {
    for (const Copy& copy : fiber.groups.front()) {
      if (copy.from == nullptr) {
        memset(copy.to, 0, copy.bytes);
      } else {
        memcpy(copy.to, copy.from, copy.bytes);
      }
    }
    fiber.groups.erase(fiber.groups.begin());
  }
}

}  // namespace shim

void __syncwarp(unsigned mask) { shim::meet(mask, shim::nothing, nullptr); }

unsigned __ballot_sync(unsigned mask, int predicate) {
  shim::Ballot mine{predicate, 0};
  shim::meet(mask, shim::Ballot::work, &mine);
  return mine.out;
}

int shim_find(const char* name) {
  const auto& all = shim::kernels();
  for (size_t i = 0; i < all.size(); i++) {
    if (all[i].name == name) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

static const shim::Kernel* kernelOf(int kernel) {
  const auto& all = shim::kernels();
  return kernel >= 0 && static_cast<size_t>(kernel) < all.size() ? &all[kernel] : nullptr;
}

const char* shim_name(int kernel) {
  const shim::Kernel* found = kernelOf(kernel);
  return found == nullptr ? nullptr : found->name.c_str();
}

int shim_arguments(int kernel) {
  const shim::Kernel* found = kernelOf(kernel);
  return found == nullptr ? -1 : static_cast<int>(found->bytes.size());
}

int shim_argument_bytes(int kernel, int argument) {
  const shim::Kernel* found = kernelOf(kernel);
  return found == nullptr ? -1 : found->bytes.at(argument);
}

void shim_reverse(int reverse) { shim::reversed = reverse; }

int shim_launch(int kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                unsigned bz, unsigned sharedBytes, void** params) {
  using namespace shim;
  const Kernel* found = kernelOf(kernel);
  unsigned long long threads = 1ull * bx * by * bz;
  if (found == nullptr || threads == 0 || threads > MAX_THREADS || gx == 0 || gy == 0 || gz == 0
      || gy > 65535 || gz > 65535 || gx > 0x7FFFFFFFu || sharedBytes > SHARED) {
    return 1;
  }
  if (reversed < 0) {
    const char* setting = getenv("SHIM_REVERSE");
    reversed = setting != nullptr && setting[0] == '1';
  }
  Context* c = take();
  context = c;
  c->threads = static_cast<int>(threads);
  c->kernel = found;
  c->params = params;
  blockDim = {bx, by, bz};
  gridDim = {gx, gy, gz};
  int status = 0;
  for (unsigned z = 0; z < gz && status == 0; z++) {
    for (unsigned y = 0; y < gy && status == 0; y++) {
      for (unsigned x = 0; x < gx && status == 0; x++) {
        blockIdx = {x, y, z};
        status = runBlock(c, sharedBytes);
      }
    }
  }
  context = nullptr;
  giveBack(c);
  return status;
}
