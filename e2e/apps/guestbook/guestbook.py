"""What a first app with a database looks like: a connection for each request, from DATABASE_URL."""

import os

import psycopg2
from flask import Flask, jsonify

app = Flask(__name__)


def ask(sql, *values):
    with psycopg2.connect(os.environ["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


@app.get("/")
def entries():
    rows = ask("SELECT name FROM entries ORDER BY id")
    return jsonify(entries=[name for (name,) in rows], version=os.environ.get("HEROKU_RELEASE_VERSION"))


@app.get("/sign/<name>")
def sign(name):
    return jsonify(id=ask("INSERT INTO entries (name) VALUES (%s) RETURNING id", name)[0][0])


@app.get("/url")
def url():
    return jsonify(url=os.environ["DATABASE_URL"])
