"""Works until it is told to stop."""

import os
import signal

signal.signal(signal.SIGTERM, lambda *_: None)
print("worker", os.environ.get("DYNO"), "is at work", flush=True)
signal.pause()
print("worker ends", flush=True)
