"""The app of the journeys: says what it sees of itself, prints numbered lines when asked, holds answers and tunnels."""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

STARTED = time.time()
printed = 0
let_go = threading.Event()


def print_numbers(label, count, rate):
    """Prints LABEL 1 to LABEL COUNT, at most `rate` lines a second (0: as fast as it can)."""
    global printed
    begun = time.monotonic()
    for number in range(1, count + 1):
        sys.stdout.write(f"{label} {number}\n")
        printed = number
        if rate and number % 50 == 0:
            sys.stdout.flush()
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
    sys.stdout.flush()


class Web(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlparse(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/numbers":
            arguments = (query["label"], int(query["count"]), int(query.get("rate", "0")))
            threading.Thread(target=print_numbers, args=arguments, daemon=True).start()
            self.answer({"printing": arguments})
        elif url.path == "/progress":
            self.answer({"printed": printed})
        elif url.path == "/slow":
            time.sleep(float(query["seconds"]))
            self.answer({"slept": query["seconds"]})
        elif url.path == "/held":
            self.hold()
        elif url.path == "/let-go":
            let_go.set()
            self.answer({"held": False})
        elif url.path == "/echo" and self.headers.get("Upgrade") == "echo":
            self.echo()
        elif url.path == "/exit":
            self.answer({"leaving": True})
            os.kill(1 if query.get("pid") == "1" else os.getpid(), signal.SIGKILL)
        else:
            self.answer(self.describe())

    def hold(self):
        """An answer that begins at once and goes on until somebody asks for /let-go."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.say("begun\n")
        while not let_go.wait(0.5):
            self.say("goes on\n")
        self.say("ended\n")
        self.wfile.write(b"0\r\n\r\n")

    def say(self, line):
        """One chunk."""
        self.wfile.write(f"{len(line):x}\r\n{line}\r\n".encode())

    def echo(self):
        """A tunnel that says back each line."""
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "echo")
        self.end_headers()
        for line in self.rfile:
            self.wfile.write(line)
        self.close_connection = True

    def describe(self):
        return {
            "dyno": os.environ.get("DYNO"),
            "greeting": os.environ.get("GREETING"),
            "version": open("version.txt").read().strip(),
            "started": STARTED,
            "pid": os.getpid(),
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
        }

    def answer(self, value):
        body = (json.dumps(value) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        print("seen", format % args, flush=True)


server = ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Web)
server.daemon_threads = True
server.request_queue_size = 256
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print("web is listening", flush=True)
server.serve_forever()
print("web ends", flush=True)
