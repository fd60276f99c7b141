const { readFileSync } = require("node:fs");
const { createServer } = require("node:http");
const pool = require("./database");

const version = readFileSync("version.txt", "utf8").trim();
const STATE = "SELECT count(*)::int AS sent, count(*) FILTER (WHERE carried > 0)::int AS carried, coalesce(max(carried), 0) AS most FROM parcels";
const SEND = "WITH sent AS (INSERT INTO parcels DEFAULT VALUES RETURNING id) SELECT id, pg_notify('parcels', '') FROM sent";
const pages = {
  "/": async () => ({ version, ...(await pool.query(STATE)).rows[0] }),
  "/send": async () => ({ id: (await pool.query(SEND)).rows[0].id }),
  "/url": async () => ({ url: process.env.DATABASE_URL }),
};

const server = createServer(async (request, response) => {
  const page = pages[request.url];
  try {
    response.writeHead(page ? 200 : 404, { "Content-Type": "application/json" }).end(JSON.stringify(page ? await page() : {}));
  } catch (error) {
    response.writeHead(500).end(`${error.message}\n`);
  }
});
server.listen(Number(process.env.PORT), "0.0.0.0");
process.on("SIGTERM", () => server.close(() => pool.end()));
