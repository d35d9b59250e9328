// A stand-in for NVIDIA's run-time compiler: looks whether it was given what it would need, and
// answers with an image that the stand-in for the driver takes. Kernels are the host's either way.
#include <cstdio>
#include <cstring>
#include <map>
#include <string>

struct Program {
    std::string source;
    std::map<std::string, std::string> headers;
    std::string log;
    std::string image;
};

extern "C" {

int nvrtcVersion(int* major, int* minor) {
    *major = 13;
    *minor = 0;
    return 0;
}

int nvrtcCreateProgram(Program** program, const char* source, const char*, int headers,
        const char* const* contents, const char* const* names) {
    *program = new Program;
    (*program)->source = source;
    for (int i = 0; i < headers; i++) (*program)->headers[names[i]] = contents[i];
    return 0;
}

int nvrtcDestroyProgram(Program** program) {
    delete *program;
    *program = nullptr;
    return 0;
}

int nvrtcCompileProgram(Program* program, int options, const char* const* words) {
    bool target = false, contraction = false;
    for (int i = 0; i < options; i++) {
        target |= strncmp(words[i], "--gpu-architecture=sm_", 22) == 0;
        contraction |= strcmp(words[i], "--fmad=false") == 0;
    }
    if (!target || !contraction) {
        program->log = "error: no target, or contraction is not off";
        return 5;
    }
    std::string all = program->source;
    for (auto& header : program->headers) all += header.second;
    for (size_t at = all.find("#include \""); at != std::string::npos; at = all.find("#include \"", at + 1)) {
        std::string name = all.substr(at + 10, all.find('"', at + 10) - at - 10);
        if (name.rfind("shim", 0) != 0 && !program->headers.count(name)) {
            program->log = "catastrophic error: cannot open source file \"" + name + "\"\n";
            return 6;
        }
    }
    if (program->source.find("KERNEL") == std::string::npos) {
        program->log = "error: no kernel";
        return 6;
    }
    program->image = std::string("\177ELF") + std::to_string(program->source.size());
    return 0;
}

int nvrtcGetProgramLogSize(Program* program, size_t* size) {
    *size = program->log.size() + 1;
    return 0;
}

int nvrtcGetProgramLog(Program* program, char* log) {
    memcpy(log, program->log.c_str(), program->log.size() + 1);
    return 0;
}

int nvrtcGetCUBINSize(Program* program, size_t* size) {
    *size = program->image.size();
    return 0;
}

int nvrtcGetCUBIN(Program* program, char* image) {
    memcpy(image, program->image.data(), program->image.size());
    return 0;
}

}  // extern "C"
