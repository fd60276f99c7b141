const express = require("express");
const fs = require("node:fs");

const app = express();
app.use("/static", express.static("public"));
app.get("/", (request, response) => {
  const pruned = !fs.existsSync("node_modules/is-number");
  const { DYNO: dyno, MEMORY_AVAILABLE, WEB_MEMORY, WEB_CONCURRENCY, WEB_CONCURRENCY_SET_BY } = process.env;
  const workers = [MEMORY_AVAILABLE, WEB_MEMORY, WEB_CONCURRENCY, WEB_CONCURRENCY_SET_BY].join(" ");
  response.json({ hello: "express", dyno, pruned, workers, host: request.headers.host });
});
const server = app.listen(Number(process.env.PORT), "0.0.0.0", () => console.log("express is listening"));
process.on("SIGTERM", () => server.close());
