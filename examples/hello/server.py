"""A web app with nothing to install: it answers every GET with a page that says which dyno served it."""

import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Hello from Paddock</title>
<style>body {{ font: 1.1rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1rem }}</style>
<h1>Hello from Paddock</h1>
<p>This page was served by dyno <b>{dyno}</b>, deployed by <code>git push</code>.</p>
<p>Change <code>server.py</code>, commit, push, reload.</p>
"""


class Hello(BaseHTTPRequestHandler):
    """Answers with the page; the log line goes to standard output, where `heroku logs` finds it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = PAGE.format(dyno=os.environ.get("DYNO", "nowhere")).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format, *args):
        print(format % args, flush=True)


def main():
    # A dyno must listen on every address, on the port it is given.
    server = ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Hello)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on port {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
