"""The release phase: makes the table if it is not there."""

import os

import psycopg2

with psycopg2.connect(os.environ["DATABASE_URL"]) as connection, connection.cursor() as cursor:
    cursor.execute("CREATE TABLE IF NOT EXISTS entries (id serial PRIMARY KEY, name text NOT NULL)")
    cursor.execute("SELECT count(*) FROM entries")
    print("migrated,", cursor.fetchone()[0], "entries")
