"""Says where it is, so that another app can try to reach it; its secret is a config var."""

import json
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


class Web(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"address": address(), "port": int(os.environ["PORT"])}).encode())


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Web).serve_forever()
