// C++ streams wait in libstdc++ and in libc. A second thread feeds them.
#include <fstream>
#include <iostream>
#include <string>
#include <thread>

#include "prog.h"

static int ends[2];

static void feed() {
    for (const char *part : {"first ", "second\nthi", "rd line\n", "42"}) {
        breathe();
        send_all(ends[1], part, strlen(part));
    }
    breathe();
    must(close(ends[1]));
}

static void use(std::istream &stream) {
    std::string one, two, rest;
    int number;
    stream >> one >> two;
    std::getline(stream >> std::ws, rest);
    stream >> number;
    std::cout << one << '|' << two << '|' << rest << '|' << number << '|' << stream.eof() << std::endl;
}

static void by_cin(bool sync) {
    std::ios::sync_with_stdio(sync);
    must(pipe(ends));
    must(dup2(ends[0], 0));
    std::thread feeder(feed);
    use(std::cin);
    feeder.join();
}

int main(int argc, char **argv) {
    std::string name = argc > 1 ? argv[1] : "";
    if (name == "synced") by_cin(true);
    else if (name == "unsynced") by_cin(false);
    else if (name == "file") {
        must(pipe(ends));
        std::thread feeder(feed);
        std::ifstream stream("/proc/self/fd/" + std::to_string(ends[0]));
        use(stream);
        feeder.join();
    } else return 2;
    std::cout << name << " done" << std::endl;
}
