import importlib.metadata
import os
import sys

from flask import Flask, jsonify

app = Flask(__name__)


@app.get("/")
def page():
    return jsonify(
        iniconfig=importlib.metadata.version("iniconfig"),
        prefix=sys.prefix,
        poetry=any(os.access(os.path.join(folder, "poetry"), os.X_OK) for folder in os.environ["PATH"].split(":")),
    )
