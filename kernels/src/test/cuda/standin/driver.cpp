// A stand-in for NVIDIA's driver library, for tests on machines without a GPU: memory is the host's,
// kernels are run by the shim. Copies to the host are delivered when the host waits, not before, and
// copies are read as late as that: code that does not wait is found.
// A stream that records keeps its work, with copies of all parameters, for graphs; what a recording
// thread may not do is refused. Every call is counted by who made it, and errors can be planted.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

extern "C" {
int shim_find(const char* name);
int shim_arguments(int kernel);
int shim_argument_bytes(int kernel, int argument);
int shim_launch(int kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
        unsigned shared_bytes, void** parameters);
}

namespace {

constexpr int INVALID_VALUE = 1;
constexpr int OUT_OF_MEMORY = 2;
constexpr int NOT_INITIALIZED = 3;
constexpr int INVALID_DEVICE = 101;
constexpr int INVALID_IMAGE = 200;
constexpr int INVALID_CONTEXT = 201;
constexpr int PEER_ACCESS_UNSUPPORTED = 217;
constexpr int INVALID_HANDLE = 400;
constexpr int NOT_FOUND = 500;
constexpr int NOT_READY = 600;
constexpr int REGISTERED_ALREADY = 712;
constexpr int NOT_REGISTERED = 713;
constexpr int CAPTURE_UNSUPPORTED = 900;
constexpr int CAPTURE_INVALIDATED = 901;
constexpr int CAPTURED_EVENT = 907;
constexpr unsigned ELF_MAGIC = 0x464c457f;
constexpr unsigned FATBIN_MAGIC = 0xba55ed50;

std::recursive_mutex lock;
using Guard = std::lock_guard<std::recursive_mutex>;

std::string beside(const char* name);

// From the environment, else from the file `settings` beside this library, for processes of a test.
int setting(const char* name, int otherwise) {
    static const std::map<std::string, int> file = [] {
        std::map<std::string, int> all;
        if (FILE* lines = fopen(beside("settings").c_str(), "r")) {
            char key[64];
            int value;
            while (fscanf(lines, "%63s %d", key, &value) == 2) all[key] = value;
            fclose(lines);
        }
        return all;
    }();
    if (const char* text = getenv(name)) return atoi(text);
    auto found = file.find(name);
    return found == file.end() ? otherwise : found->second;
}

struct Calls {
    long jcuda = 0;
    long others = 0;
};

std::map<std::string, Calls> calls;

struct Planted {
    std::string function;
    long after;
    int code;
    bool sticky;
    bool shared;  // by processes: strikes once
};

struct Context;
thread_local Context* current = nullptr;

int device_now();

std::vector<Planted> planted;
std::map<int, int> dead;  // by device: the error every call answers once a sticky one struck
bool initialised = false;
bool faults_read = false;

std::string beside(const char* name) {
    Dl_info own;
    if (!dladdr(reinterpret_cast<void*>(&shim_find), &own)) return name;
    std::string path = own.dli_fname;
    return path.substr(0, path.rfind('/') + 1) + name;
}

// The file `faults` beside this library, for tests of several processes: a function, the calls that
// succeed before, the error and 1 if the device is lost. It strikes in the process that is there first.
void read_faults() {
    if (faults_read) return;
    faults_read = true;
    FILE* file = fopen(beside("faults").c_str(), "r");
    if (!file) return;
    char name[128];
    long after;
    int code, sticky;
    while (fscanf(file, "%127s %ld %d %d", name, &after, &code, &sticky) == 4) {
        planted.push_back({name, after, code, sticky != 0, true});
    }
    fclose(file);
}

bool first() {
    int made = open(beside("faults.struck").c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600);
    if (made >= 0) close(made);
    return made >= 0;
}

bool called_by_jcuda(void* where) {
    Dl_info info;
    return dladdr(where, &info) && info.dli_fname && strstr(info.dli_fname, "JCudaDriver");
}

// The error a call is to answer before it does anything; 0 for none.
int enter(const char* name, void* caller) {
    Guard guard(lock);
    read_faults();
    Calls& count = calls[name];
    (called_by_jcuda(caller) ? count.jcuda : count.others)++;
    int device = device_now();
    if (dead.count(device)) return dead[device];
    for (size_t i = 0; i < planted.size(); i++) {
        Planted& plan = planted[i];
        if (plan.function == name && plan.after-- == 0) {
            int code = plan.code;
            if (plan.shared && !first()) {
                planted.erase(planted.begin() + i);
                return 0;
            }
            if (plan.sticky) dead[device] = code;
            planted.erase(planted.begin() + i);
            return code;
        }
    }
    return 0;
}

#define ENTER()                                                                              \
    if (int planted_error = enter(__func__, __builtin_return_address(0))) return planted_error; \
    if (!initialised) return NOT_INITIALIZED

// What a stream is still to do. Some of it waits for other processes.
struct Pending {
    std::function<void()> run;
    std::function<bool()> ready;

    template <class F>
    Pending(F run, std::function<bool()> ready = nullptr) : run(run), ready(ready) {}
};

// Work as it was captured, with copies of all its parameters. Each returns an error or 0.
using Work = std::function<int()>;
using Graph = std::vector<Work>;

struct Stream {
    int device = 0;
    std::vector<Pending> pending;
    Graph* capture = nullptr;  // while it records
    bool invalid = false;      // what it records
    bool relaxed = false;
    pthread_t recorder = 0;

    void finish() {
        auto work = std::move(pending);
        pending.clear();
        for (auto& each : work) each.run();
    }

    // Goes on as far as nobody else is waited for; whether all is done.
    bool advance() {
        size_t done = 0;
        while (done < pending.size() && (!pending[done].ready || pending[done].ready())) {
            pending[done++].run();
        }
        pending.erase(pending.begin(), pending.begin() + done);
        return pending.empty();
    }
};

struct Event {
    Stream* stream = nullptr;
    bool captured = false;
    double at = 0;
};

struct Block {
    size_t bytes;
    int device;
    int file = -1;  // of device memory, by which other processes map it
    bool shared = false;  // a handle of it was given away
};

// What a process gives others to open its memory by: 64 bytes.
struct Handle {
    unsigned long long magic;
    long process;
    long file;
    unsigned long long inode;
    unsigned long long bytes;
    long device;
    long unused[2];
};

static_assert(sizeof(Handle) == 64);

constexpr unsigned long long HANDLE_MAGIC = 0x43415354414c4941ull;

struct Context {
    int device = 0;
    int users = 0;
    Stream legacy;
};

std::map<int, std::unique_ptr<Context>> contexts;
std::map<uintptr_t, Block> blocks;
std::map<uintptr_t, Block> registered;
std::map<uintptr_t, Block> opened;  // memory of other processes
std::set<Stream*> streams;
std::map<int, size_t> held;

int device_now() { return current ? current->device : -1; }

// Whether a call that a recording thread may not make is made by one; it spoils what is recorded.
bool spoils_capture() {
    for (Stream* stream : streams) {
        if (stream->capture && !stream->relaxed && pthread_equal(stream->recorder, pthread_self())) {
            stream->invalid = true;
            return true;
        }
    }
    return false;
}

#define NOT_WHILE_RECORDING() \
    if (spoils_capture()) return CAPTURE_UNSUPPORTED

// Records the work, or does it once the stream's earlier work is done.
int run(Stream* stream, Work work) {
    if (stream->capture) {
        stream->capture->push_back(std::move(work));
        return 0;
    }
    stream->finish();
    return work();
}

int devices() { return setting("CASTALIA_STANDIN_DEVICES", 1); }

size_t memory() { return size_t(setting("CASTALIA_STANDIN_MEMORY_MIB", 2048)) << 20; }

Stream* of(void* handle) {
    if (!handle) return &current->legacy;
    Stream* stream = static_cast<Stream*>(handle);
    return streams.count(stream) ? stream : nullptr;
}

bool lies_in(const std::map<uintptr_t, Block>& all, uintptr_t address, size_t bytes) {
    auto after = all.upper_bound(address);
    if (after == all.begin()) return false;
    --after;
    return address + bytes <= after->first + after->second.bytes;
}

bool on_device(uintptr_t address, size_t bytes) {
    return lies_in(blocks, address, bytes) || lies_in(opened, address, bytes);
}

bool is_registered(uintptr_t address, size_t bytes) { return lies_in(registered, address, bytes); }

// Gives memory back. Whoever still reads it from another process must see that it is gone.
void unmap(uintptr_t address, const Block& block) {
    if (block.shared) memset(reinterpret_cast<void*>(address), 0xdb, block.bytes);
    munmap(reinterpret_cast<void*>(address), block.bytes);
    if (block.file >= 0) close(block.file);
}

// To the file `peers` beside this library, where a test made one: what was opened and closed.
void note(const char* what, long owner) {
    int file = open(beside("peers").c_str(), O_WRONLY | O_APPEND);
    if (file < 0) return;
    char line[64];
    int length = snprintf(line, sizeof line, "%s %d %ld\n", what, getpid(), owner);
    if (write(file, line, length) != length) perror("peers");
    close(file);
}

// Of the current device.
void finish_all() {
    for (Stream* stream : streams) {
        if (stream->device == current->device) stream->finish();
    }
}

double now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec * 1e-6;
}

}  // namespace

extern "C" {

// ---- what tests ask for -------------------------------------------------------------------------

// Calls of a function so far, through JCuda or by others.
long standin_calls(const char* function, int jcuda) {
    Guard guard(lock);
    auto found = calls.find(function);
    return found == calls.end() ? 0 : jcuda ? found->second.jcuda : found->second.others;
}

// The i-th function that was called; null behind the last.
const char* standin_function(int i) {
    Guard guard(lock);
    for (auto& each : calls) {
        if (i-- == 0) return each.first.c_str();
    }
    return nullptr;
}

// Lets the call number `after` from now on of a function fail; sticky: every call after it, too.
void standin_fail(const char* function, long after, int code, int sticky) {
    Guard guard(lock);
    planted.push_back({function, after, code, sticky != 0, false});
}

// The driver as a new process would find it: where it was lost, everything it held is gone.
void standin_recover() {
    Guard guard(lock);
    planted.clear();
    for (auto& each : dead) {
        int device = each.first;
        std::erase_if(registered, [=](auto& one) { return one.second.device == device; });
        std::erase_if(blocks, [=](auto& one) {
            if (one.second.device != device) return false;
            unmap(one.first, one.second);
            return true;
        });
        std::erase_if(streams, [=](Stream* one) { return one->device == device; });
        held[device] = 0;
        contexts[device]->users = 0;
    }
    dead.clear();
}

// Bytes of device memory that are allocated.
size_t standin_held(int device) {
    Guard guard(lock);
    return held[device];
}


}  // extern "C"

// Other stand-ins' work in a stream.
int standin_run(void* handle, std::function<int()> work) {
    Guard guard(lock);
    Stream* stream = of(handle);
    return stream ? run(stream, std::move(work)) : INVALID_HANDLE;
}

extern "C" {

// Runs what is pending in a stream, as the device would before its next work.
void standin_finish(void* handle) {
    Guard guard(lock);
    if (Stream* stream = of(handle)) stream->finish();
}

// For other stand-ins: what a test of processes wants to know.
void standin_note(const char* what, long number) { note(what, number); }

// For the stand-in for NCCL: a stream waits for what another thread does.
void standin_wait(void* handle, void (*wait)(void*), int (*ready)(void*), void* what) {
    Guard guard(lock);
    if (Stream* stream = of(handle)) {
        stream->pending.push_back({[=] { wait(what); }, [=] { return ready(what) != 0; }});
    }
}

// ---- the driver's functions ---------------------------------------------------------------------

int cuInit(unsigned flags) {
    if (int error = enter(__func__, __builtin_return_address(0))) return error;
    if (devices() == 0) return 100;
    initialised = true;
    return flags == 0 ? 0 : INVALID_VALUE;
}

int cuDriverGetVersion(int* version) {
    if (int error = enter(__func__, __builtin_return_address(0))) return error;
    *version = setting("CASTALIA_STANDIN_VERSION", 13000);
    return 0;
}

int cuGetErrorName(int code, const char** name) {
    (void) code;
    *name = "CUDA_ERROR_OF_THE_STAND_IN";
    return 0;
}

int cuDeviceGetCount(int* count) {
    ENTER();
    *count = devices();
    return 0;
}

int cuDeviceGet(int* device, int ordinal) {
    ENTER();
    if (ordinal < 0 || ordinal >= devices()) return INVALID_DEVICE;
    *device = ordinal;
    return 0;
}

int cuDeviceGetName(char* name, int length, int device) {
    ENTER();
    if (device < 0 || device >= devices()) return INVALID_DEVICE;
    snprintf(name, length, "stand-in %d", device);
    return 0;
}

int cuDeviceTotalMem_v2(size_t* bytes, int device) {
    ENTER();
    if (device < 0 || device >= devices()) return INVALID_DEVICE;
    *bytes = memory();
    return 0;
}

int cuDeviceGetUuid(unsigned char* identity, int device) {
    ENTER();
    if (device < 0 || device >= devices()) return INVALID_DEVICE;
    memset(identity, 0x5d, 16);
    identity[0] = static_cast<unsigned char>(device);
    return 0;
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
    ENTER();
    if (device < 0 || device >= devices()) return INVALID_DEVICE;
    switch (attribute) {
        case 16: *value = 4; return 0;  // multiprocessors
        case 75: *value = setting("CASTALIA_STANDIN_CAPABILITY", 90) / 10; return 0;
        case 76: *value = setting("CASTALIA_STANDIN_CAPABILITY", 90) % 10; return 0;
        case 97: *value = 227 << 10; return 0;  // shared memory a block may ask for
        default: return INVALID_VALUE;
    }
}

int cuDevicePrimaryCtxRetain(void** context, int device) {
    ENTER();
    Guard guard(lock);
    if (device < 0 || device >= devices()) return INVALID_DEVICE;
    auto& mine = contexts[device];
    if (!mine) {
        mine.reset(new Context);
        mine->device = device;
    }
    mine->users++;
    *context = mine.get();
    return 0;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
    ENTER();
    Guard guard(lock);
    auto found = contexts.find(device);
    if (found == contexts.end() || found->second->users == 0) return INVALID_CONTEXT;
    found->second->users--;
    return 0;
}

int cuCtxSetCurrent(void* context) {
    ENTER();
    current = static_cast<Context*>(context);
    return 0;
}

#undef ENTER
#define ENTER()                                                                              \
    if (int planted_error = enter(__func__, __builtin_return_address(0))) return planted_error; \
    Guard guard(lock);                                                                       \
    if (!current || current->users == 0) return INVALID_CONTEXT

int cuCtxSynchronize() {
    ENTER();
    NOT_WHILE_RECORDING();
    current->legacy.finish();
    finish_all();
    return 0;
}

int cuMemAlloc_v2(uintptr_t* address, size_t bytes) {
    ENTER();
    NOT_WHILE_RECORDING();
    if (bytes == 0) return INVALID_VALUE;
    if (held[current->device] + bytes > memory()) return OUT_OF_MEMORY;
    int file = memfd_create("standin", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, bytes) != 0) return OUT_OF_MEMORY;
    void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (block == MAP_FAILED) {
        close(file);
        return OUT_OF_MEMORY;
    }
    if (bytes <= size_t(64) << 20) memset(block, 0xa5, bytes);  // never zero by chance
    *address = reinterpret_cast<uintptr_t>(block);
    blocks[*address] = {bytes, current->device, file};
    held[current->device] += bytes;
    return 0;
}

int cuMemFree_v2(uintptr_t address) {
    ENTER();
    NOT_WHILE_RECORDING();
    auto found = blocks.find(address);
    if (found == blocks.end()) return INVALID_VALUE;
    finish_all();
    unmap(address, found->second);
    held[current->device] -= found->second.bytes;
    blocks.erase(found);
    return 0;
}

int cuIpcGetMemHandle(Handle* handle, uintptr_t address) {
    ENTER();
    auto found = blocks.find(address);
    if (found == blocks.end()) return INVALID_VALUE;
    struct stat status;
    if (fstat(found->second.file, &status) != 0) return INVALID_VALUE;
    found->second.shared = true;
    *handle = {HANDLE_MAGIC, getpid(), found->second.file, status.st_ino, found->second.bytes,
            found->second.device, {}};
    return 0;
}

// Fails in the process the memory is of, as the real one does, and where devices are to be apart.
int cuIpcOpenMemHandle_v2(uintptr_t* address, Handle handle, unsigned flags) {
    ENTER();
    (void) flags;
    if (handle.magic != HANDLE_MAGIC) return INVALID_HANDLE;
    if (handle.process == getpid()) return INVALID_CONTEXT;
    if (!setting("CASTALIA_STANDIN_REACH", 1)) return PEER_ACCESS_UNSUPPORTED;
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/fd/%ld", handle.process, handle.file);
    int file = open(path, O_RDWR | O_CLOEXEC);
    struct stat status;
    bool fits = file >= 0 && fstat(file, &status) == 0 && status.st_ino == handle.inode;
    void* block = MAP_FAILED;
    if (fits) block = mmap(nullptr, handle.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0) close(file);
    if (block == MAP_FAILED) return INVALID_HANDLE;
    *address = reinterpret_cast<uintptr_t>(block);
    opened[*address] = {handle.bytes, current->device};
    note("opened", handle.process);
    return 0;
}

int cuIpcCloseMemHandle(uintptr_t address) {
    ENTER();
    auto found = opened.find(address);
    if (found == opened.end()) return INVALID_VALUE;
    finish_all();
    unmap(address, found->second);
    opened.erase(found);
    note("closed", 0);
    return 0;
}

// Done as late as it may be: when its stream is waited for, or has other work.
int cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, void* handle) {
    ENTER();
    Stream* stream = of(handle);
    if (!stream) return INVALID_HANDLE;
    if (!on_device(to, bytes) || !on_device(from, bytes)) return INVALID_VALUE;
    stream->pending.push_back(
            [=] { memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes); });
    return 0;
}

int cuMemHostRegister_v2(void* address, size_t bytes, unsigned flags) {
    ENTER();
    (void) flags;
    NOT_WHILE_RECORDING();
    if (!address || bytes == 0) return INVALID_VALUE;
    if (is_registered(reinterpret_cast<uintptr_t>(address), 1)) return REGISTERED_ALREADY;
    registered[reinterpret_cast<uintptr_t>(address)] = {bytes, current->device};
    return 0;
}

int cuMemHostUnregister(void* address) {
    ENTER();
    NOT_WHILE_RECORDING();
    finish_all();
    return registered.erase(reinterpret_cast<uintptr_t>(address)) ? 0 : NOT_REGISTERED;
}

int cuMemcpyHtoDAsync_v2(uintptr_t to, const void* from, size_t bytes, void* handle) {
    ENTER();
    Stream* stream = of(handle);
    if (!stream) return INVALID_HANDLE;
    if (!on_device(to, bytes)) return INVALID_VALUE;
    if (stream->capture) {
        if (!is_registered(reinterpret_cast<uintptr_t>(from), bytes)) {
            stream->invalid = true;
            return CAPTURE_UNSUPPORTED;
        }
        return run(stream, [=] { return memcpy(reinterpret_cast<void*>(to), from, bytes), 0; });
    }
    if (is_registered(reinterpret_cast<uintptr_t>(from), bytes)) {
        stream->pending.push_back([=] { memcpy(reinterpret_cast<void*>(to), from, bytes); });
        return 0;
    }
    stream->finish();
    memcpy(reinterpret_cast<void*>(to), from, bytes);
    return 0;
}

int cuMemcpyDtoHAsync_v2(void* to, uintptr_t from, size_t bytes, void* handle) {
    ENTER();
    Stream* stream = of(handle);
    if (!stream) return INVALID_HANDLE;
    if (!on_device(from, bytes)) return INVALID_VALUE;
    if (stream->capture) {
        if (!is_registered(reinterpret_cast<uintptr_t>(to), bytes)) {
            stream->invalid = true;
            return CAPTURE_UNSUPPORTED;
        }
        return run(stream, [=] { return memcpy(to, reinterpret_cast<void*>(from), bytes), 0; });
    }
    if (is_registered(reinterpret_cast<uintptr_t>(to), bytes)) {
        // Read as late as delivered: who changes the memory in another stream without waiting is found.
        stream->pending.push_back([=] { memcpy(to, reinterpret_cast<void*>(from), bytes); });
        return 0;
    }
    stream->finish();
    memcpy(to, reinterpret_cast<void*>(from), bytes);
    return 0;
}

int cuMemsetD8Async(uintptr_t to, unsigned char value, size_t bytes, void* handle) {
    ENTER();
    Stream* stream = of(handle);
    if (!stream) return INVALID_HANDLE;
    if (!on_device(to, bytes)) return INVALID_VALUE;
    return run(stream, [=] { return memset(reinterpret_cast<void*>(to), value, bytes), 0; });
}

int cuModuleLoadData(void** module, const void* image) {
    ENTER();
    unsigned magic;
    memcpy(&magic, image, sizeof magic);
    if (magic != ELF_MAGIC && magic != FATBIN_MAGIC) return INVALID_IMAGE;
    NOT_WHILE_RECORDING();
    static int loaded;
    *module = &loaded;
    return 0;
}

int cuModuleUnload(void* module) {
    ENTER();
    return module ? 0 : INVALID_HANDLE;
}

int cuModuleGetFunction(void** function, void* module, const char* name) {
    ENTER();
    if (!module) return INVALID_HANDLE;
    int kernel = shim_find(name);
    if (kernel < 0) return NOT_FOUND;
    *function = reinterpret_cast<void*>(uintptr_t(kernel) + 1);
    return 0;
}

int cuFuncSetAttribute(void* function, int attribute, int value) {
    ENTER();
    return function && attribute == 8 && value <= 227 << 10 ? 0 : INVALID_VALUE;
}

int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
        unsigned bz, unsigned shared_bytes, void* handle, void** parameters, void** extra) {
    ENTER();
    Stream* stream = of(handle);
    if (!stream || !function || extra) return INVALID_HANDLE;
    if (!gx || !gy || !gz || !bx || !by || !bz || size_t(bx) * by * bz > 1024 || gy > 65535
            || gz > 65535 || gx > 0x7fffffffu || shared_bytes > 227u << 10) {
        return INVALID_VALUE;
    }
    int kernel = int(reinterpret_cast<uintptr_t>(function)) - 1;
    int device = current->device;
    auto values = std::make_shared<std::vector<std::vector<char>>>();
    for (int i = 0; i < shim_arguments(kernel); i++) {
        const char* at = static_cast<const char*>(parameters[i]);
        values->emplace_back(at, at + shim_argument_bytes(kernel, i));
    }
    return run(stream, [=] {
        std::vector<void*> pointers;
        for (auto& each : *values) pointers.push_back(each.data());
        int error = shim_launch(kernel, gx, gy, gz, bx, by, bz, shared_bytes, pointers.data());
        if (error) dead[device] = error;
        return error;
    });
}

int cuStreamCreateWithPriority(void** handle, unsigned flags, int priority) {
    ENTER();
    (void) flags;
    (void) priority;
    Stream* stream = new Stream;
    stream->device = current->device;
    streams.insert(stream);
    *handle = stream;
    return 0;
}

int cuStreamSynchronize(void* handle) {
    ENTER();
    Stream* stream = of(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream->capture) {
        stream->invalid = true;
        return CAPTURE_UNSUPPORTED;
    }
    stream->finish();
    return 0;
}

int cuStreamQuery(void* handle) {
    ENTER();
    Stream* stream = of(handle);
    if (!stream) return INVALID_HANDLE;
    return stream->advance() ? 0 : NOT_READY;
}

int cuStreamWaitEvent(void* handle, void* event, unsigned flags) {
    ENTER();
    (void) flags;
    Stream* stream = of(handle);
    if (!stream || !event) return INVALID_HANDLE;
    if (stream->capture || static_cast<Event*>(event)->captured) return CAPTURE_UNSUPPORTED;
    Stream* other = static_cast<Event*>(event)->stream;
    if (other && streams.count(other)) other->finish();
    return 0;
}

int cuStreamDestroy_v2(void* handle) {
    ENTER();
    Stream* stream = of(handle);
    if (!handle || !stream) return INVALID_HANDLE;
    if (stream->capture) return CAPTURE_UNSUPPORTED;
    stream->finish();
    streams.erase(stream);
    delete stream;
    return 0;
}

int cuEventCreate(void** event, unsigned flags) {
    ENTER();
    (void) flags;
    *event = new Event;
    return 0;
}

int cuEventRecord(void* handle, void* stream) {
    ENTER();
    if (!handle || !of(stream)) return INVALID_HANDLE;
    Event* event = static_cast<Event*>(handle);
    event->stream = of(stream);
    event->captured = event->stream->capture;
    event->at = now();
    return 0;
}

int cuEventSynchronize(void* handle) {
    ENTER();
    if (!handle) return INVALID_HANDLE;
    if (static_cast<Event*>(handle)->captured) {
        spoils_capture();
        return CAPTURED_EVENT;
    }
    Stream* stream = static_cast<Event*>(handle)->stream;
    if (stream && streams.count(stream)) stream->finish();
    return 0;
}

int cuEventElapsedTime(float* milliseconds, void* from, void* to) {
    ENTER();
    if (!from || !to) return INVALID_HANDLE;
    *milliseconds = float(static_cast<Event*>(to)->at - static_cast<Event*>(from)->at);
    return 0;
}

int cuEventDestroy_v2(void* event) {
    ENTER();
    if (!event) return INVALID_HANDLE;
    delete static_cast<Event*>(event);
    return 0;
}

int cuStreamBeginCapture_v2(void* handle, int mode) {
    ENTER();
    Stream* stream = of(handle);
    if (!handle || !stream || mode < 0 || mode > 2) return handle ? INVALID_VALUE : CAPTURE_UNSUPPORTED;
    if (stream->capture) return INVALID_VALUE;
    stream->capture = new Graph;
    stream->invalid = false;
    stream->relaxed = mode == 2;
    stream->recorder = pthread_self();
    return 0;
}

int cuStreamEndCapture(void* handle, void** graph) {
    ENTER();
    Stream* stream = of(handle);
    *graph = nullptr;
    if (!stream) return INVALID_HANDLE;
    if (!stream->capture) return INVALID_VALUE;
    Graph* captured = stream->capture;
    stream->capture = nullptr;
    if (stream->invalid) {
        delete captured;
        return CAPTURE_INVALIDATED;
    }
    *graph = captured;
    return 0;
}

int cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long flags) {
    ENTER();
    NOT_WHILE_RECORDING();
    if (!graph || flags != 0) return INVALID_VALUE;
    *executable = new Graph(*static_cast<Graph*>(graph));
    return 0;
}

int cuGraphLaunch(void* executable, void* handle) {
    ENTER();
    Stream* stream = of(handle);
    if (!stream || !executable) return INVALID_HANDLE;
    if (stream->capture) return CAPTURE_UNSUPPORTED;
    stream->finish();
    for (auto& work : *static_cast<Graph*>(executable)) {
        if (int error = work()) return error;
    }
    return 0;
}

int cuGraphDestroy(void* graph) {
    ENTER();
    delete static_cast<Graph*>(graph);
    return graph ? 0 : INVALID_VALUE;
}

int cuGraphExecDestroy(void* executable) {
    ENTER();
    delete static_cast<Graph*>(executable);
    return executable ? 0 : INVALID_VALUE;
}

}  // extern "C"
