// The release phase: makes the queue if it is not there.
const pool = require("./database");

pool
  .query("CREATE TABLE IF NOT EXISTS parcels (id serial PRIMARY KEY, carried integer NOT NULL DEFAULT 0, by text)")
  .then(() => console.log("migrated"))
  .finally(() => pool.end());
