"""Tries what a tenant must not be able to do, and prints one line for each: PROBE name refused|possible detail.

What to try is in probe.json: paths and addresses of the host, of another app, and a secret that is another app's.
Lines of the kind `allowed` are controls: they show that a refusal is not just a dead network.
"""

import concurrent.futures
import ctypes
import json
import os
import socket
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER = 0x10000000


def say(name, possible, detail=""):
    print("PROBE", name, "possible" if possible else "refused", str(detail).replace("\n", " "), flush=True)


def readable(path):
    try:
        if os.path.isdir(path):
            return True, os.listdir(path)[:3]
        with open(path, "rb") as file:
            return True, file.read(20)
    except OSError as error:
        return False, error


def writable(path):
    try:
        with open(path, "wb") as file:
            file.write(b"1")
        return True, path
    except OSError as error:
        return False, error


def reachable(host, port):
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        return True, f"{host}:{port}"
    except OSError as error:
        return False, f"{host}:{port} {error}"


def resolvable(name):
    try:
        return True, f"{name} {socket.getaddrinfo(name, None)}"
    except OSError as error:
        return False, f"{name} {error}"


def call(name, *arguments):
    result = getattr(LIBC, name)(*arguments)
    return result == 0, os.strerror(ctypes.get_errno())


def gateway():
    with open("/proc/net/route") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            if fields[1] == "00000000":
                return socket.inet_ntoa(struct.pack("<I", int(fields[2], 16)))
    return "127.0.0.1"


def processes():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for file in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{file}", "rb") as content:
                    yield pid, content.read()
            except OSError:
                pass


def raw_socket():
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
        return True, ""
    except OSError as error:
        return False, error


def main():
    with open("probe.json") as file:
        given = json.load(file)
    status = dict(line.rstrip("\n").split(":\t", 1) for line in open("/proc/self/status") if ":\t" in line)
    for path in given["private_paths"]:
        say("read-" + path, *readable(path))
    for path in ("/usr/bin/planted", "/etc/planted", "/proc/sys/kernel/hostname", "/sys/fs/cgroup/planted", "/sys/planted"):
        say("write-" + path, *writable(path))
    secret = given["secret"].encode()
    say("secret-of-another-app", any(secret in content for pid, content in processes() if int(pid) != os.getpid()))
    say("processes-of-the-host", any(b"--listen" in content for _, content in processes()))
    targets = [("metadata-address", "169.254.169.254", 80)]
    for host in [gateway(), *given["host_addresses"]]:
        targets += [("host-port", host, given["host_port"]), ("ssh-of-the-host", host, 22)]
    targets += [("dyno-of-another-app", host, port) for host, port in given["other_dynos"]]
    targets += [("database-of-another-app", *given["other_database"]["at"])]
    say("name-of-a-database-of-another-app", *resolvable(given["other_database"]["name"]))
    # Side by side: what is dropped without a word costs its whole time.
    with concurrent.futures.ThreadPoolExecutor(max_workers=32) as pool:
        results = pool.map(lambda target: reachable(*target[1:]), targets)
        for (name, _, _), (possible, detail) in zip(targets, results):
            say(name, possible, detail)
    say("mount", *call("mount", b"none", b"/tmp", b"tmpfs", 0, None))
    say("new-user-namespace", *call("unshare", CLONE_NEWUSER))
    say("setuid-0", *call("setuid", 0))
    say("raw-socket", *raw_socket())
    say("capabilities", any(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")), status["CapBnd"])
    say("without-seccomp", status["Seccomp"] != "2", status["Seccomp"])
    say("new-privileges", status["NoNewPrivs"] != "1", status["NoNewPrivs"])
    say("root", os.getuid() == 0, os.getuid())
    possible, detail = reachable(gateway(), given["router_port"])
    print("CONTROL router", "reached" if possible else "unreachable", detail, flush=True)
    print("PROBES DONE", flush=True)


main()
