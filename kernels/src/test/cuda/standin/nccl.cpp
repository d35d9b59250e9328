// A stand-in for NCCL, for tests on machines without a GPU: sends and receives of processes of one machine,
// over sockets. As the real one with communicators that do not block: threads make connections and copy, and
// the stream that was named waits for them. A peer that ends is an error of the communicator, and its abort ends
// everything.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

extern "C" {
void standin_finish(void* stream);
void standin_note(const char* what, long number);
void standin_wait(void* stream, void (*wait)(void*), int (*ready)(void*), void* what);
}

namespace {

constexpr int SUCCESS = 0;
constexpr int INVALID_ARGUMENT = 4;
constexpr int REMOTE_ERROR = 6;
constexpr int IN_PROGRESS = 7;

struct Id {
    char name[128];
};

struct Config {
    size_t size;
    unsigned magic;
    unsigned version;
    int blocking;
};

struct Move {
    bool sends;
    char* at;
    size_t left;
    int peer;
};

struct Comm {
    int ranks = 0;
    int rank = 0;
    std::string name;
    std::vector<int> sockets;
    std::vector<Move> moves;
    std::thread thread;
    std::atomic<int> state{IN_PROGRESS};
    std::atomic<bool> moving{false};
    std::atomic<bool> aborted{false};

    void join() {
        if (thread.joinable()) thread.join();
    }
};

thread_local bool grouped = false;
thread_local Comm* group = nullptr;
thread_local void* group_stream = nullptr;

socklen_t address(sockaddr_un& to, const std::string& name, int rank) {
    memset(&to, 0, sizeof to);
    to.sun_family = AF_UNIX;  // no file: the name ends with the processes
    int length = snprintf(to.sun_path + 1, sizeof to.sun_path - 1, "%s-%d", name.c_str(), rank);
    return socklen_t(offsetof(sockaddr_un, sun_path) + 1 + length);
}

bool all(int socket, void* bytes, size_t length, bool sends, const Comm& comm) {
    char* at = static_cast<char*>(bytes);
    while (length > 0 && !comm.aborted) {
        ssize_t done = sends ? send(socket, at, length, MSG_NOSIGNAL | MSG_DONTWAIT)
                             : recv(socket, at, length, MSG_DONTWAIT);
        if (done > 0) {
            at += done;
            length -= done;
        } else if (done == 0 || errno != EAGAIN) {
            return false;
        } else {
            pollfd one = {socket, short(sends ? POLLOUT : POLLIN), 0};
            poll(&one, 1, 10);
        }
    }
    return length == 0;
}

// Every rank listens, connects to those before it and accepts those behind it.
int meet(Comm& comm) {
    sockaddr_un own;
    socklen_t length = address(own, comm.name, comm.rank);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, reinterpret_cast<sockaddr*>(&own), length) != 0 || listen(listener, comm.ranks) != 0) {
        close(listener);
        return REMOTE_ERROR;
    }
    bool good = true;
    for (int peer = 0; peer < comm.rank && good; peer++) {
        sockaddr_un other;
        socklen_t size = address(other, comm.name, peer);
        int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        while (connect(made, reinterpret_cast<sockaddr*>(&other), size) != 0 && !comm.aborted) usleep(5000);
        comm.sockets[peer] = made;
        good = all(made, &comm.rank, sizeof comm.rank, true, comm);
    }
    for (int left = comm.ranks - comm.rank - 1; left > 0 && good;) {
        pollfd one = {listener, POLLIN, 0};
        if (comm.aborted) good = false;
        if (poll(&one, 1, 10) <= 0) continue;
        int made = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        int who = -1;
        good = made >= 0 && all(made, &who, sizeof who, false, comm) && who > comm.rank && who < comm.ranks;
        if (good) comm.sockets[who] = made;
        left--;
    }
    close(listener);
    return good ? SUCCESS : REMOTE_ERROR;
}

// In the order of the calls for each peer and direction, all of these beside each other.
void move(Comm& comm) {
    while (!comm.aborted) {
        std::vector<pollfd> polled;
        std::vector<Move*> movers;
        std::vector<bool> busy(2 * comm.ranks);
        for (Move& each : comm.moves) {
            size_t way = 2 * each.peer + each.sends;
            if (each.left == 0 || busy[way]) continue;
            busy[way] = true;
            polled.push_back({comm.sockets[each.peer], short(each.sends ? POLLOUT : POLLIN), 0});
            movers.push_back(&each);
        }
        if (movers.empty()) break;
        poll(polled.data(), polled.size(), 10);
        for (size_t i = 0; i < movers.size(); i++) {
            if (!polled[i].revents) continue;
            Move& each = *movers[i];
            ssize_t done = each.sends ? send(polled[i].fd, each.at, each.left, MSG_NOSIGNAL | MSG_DONTWAIT)
                                      : recv(polled[i].fd, each.at, each.left, MSG_DONTWAIT);
            if (done > 0) {
                each.at += done;
                each.left -= done;
            } else if (done == 0 || errno != EAGAIN) {
                comm.state = REMOTE_ERROR;  // as the real one, whose kernel then waits for the abort
                while (!comm.aborted) usleep(1000);
            }
        }
    }
    comm.moves.clear();
    comm.moving = false;
}

int add(bool sends, void* memory, size_t count, int type, int peer, void* handle, void* stream) {
    Comm* comm = static_cast<Comm*>(handle);
    if (!grouped || type != 0 || peer < 0 || peer >= comm->ranks || peer == comm->rank || (group && group != comm)
            || comm->moving) {
        return INVALID_ARGUMENT;
    }
    if (!group) {
        group = comm;
        group_stream = stream;
        comm->join();
        comm->moves.clear();
    }
    comm->moves.push_back({sends, static_cast<char*>(memory), count, peer});
    return SUCCESS;
}

}  // namespace

extern "C" {

int ncclGetVersion(int* version) {
    const char* text = getenv("CASTALIA_STANDIN_NCCL");
    *version = text ? atoi(text) : 22809;
    return SUCCESS;
}

int ncclGetUniqueId(Id* id) {
    static std::atomic<int> number{0};
    memset(id, 0, sizeof *id);
    auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    snprintf(id->name, sizeof id->name, "castalia-nccl-%d-%d-%lld", getpid(), number++, static_cast<long long>(now));
    return SUCCESS;
}

int ncclCommInitRankConfig(void** handle, int ranks, Id id, int rank, const Config* config) {
    if (config->magic != 0xcafebeef || config->size < 20 || config->blocking != 0 || rank < 0 || rank >= ranks) {
        return INVALID_ARGUMENT;
    }
    Comm* comm = new Comm;
    comm->ranks = ranks;
    comm->rank = rank;
    comm->name = id.name;
    comm->sockets.assign(ranks, -1);
    comm->thread = std::thread([comm] { comm->state = meet(*comm); });
    *handle = comm;
    return IN_PROGRESS;
}

int ncclCommGetAsyncError(void* handle, int* state) {
    *state = static_cast<Comm*>(handle)->state;
    return SUCCESS;
}

int ncclCommAbort(void* handle) {
    std::unique_ptr<Comm> comm(static_cast<Comm*>(handle));
    comm->aborted = true;
    comm->join();
    for (int each : comm->sockets) {
        if (each >= 0) close(each);
    }
    comm.release();  // a stream may still ask it whether it is done
    return SUCCESS;
}

int ncclGroupStart() {
    grouped = true;
    group = nullptr;
    return SUCCESS;
}

int ncclSend(const void* memory, size_t count, int type, int peer, void* comm, void* stream) {
    return add(true, const_cast<void*>(memory), count, type, peer, comm, stream);
}

int ncclRecv(void* memory, size_t count, int type, int peer, void* comm, void* stream) {
    return add(false, memory, count, type, peer, comm, stream);
}

int ncclGroupEnd() {
    grouped = false;
    Comm* comm = group;
    group = nullptr;
    if (!comm) return SUCCESS;
    standin_finish(group_stream);
    standin_note("moved", long(comm->moves.size()));
    comm->moving = true;
    comm->thread = std::thread([comm] { move(*comm); });
    standin_wait(group_stream,
            [](void* of) {
                while (static_cast<Comm*>(of)->moving) usleep(100);
            },
            [](void* of) { return int(!static_cast<Comm*>(of)->moving); }, comm);
    return SUCCESS;
}

}  // extern "C"
