// Takes what is in the queue, one after the other, in a transaction each; sleeps until somebody says that there is more.
const pool = require("./database");

const TAKE = `UPDATE parcels SET carried = carried + 1, by = $1
  WHERE id = (SELECT id FROM parcels WHERE carried = 0 ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING id`;
let over = false;

async function work() {
  const listener = await pool.connect();
  await listener.query("LISTEN parcels");
  while (!over) {
    const { rowCount } = await listener.query(TAKE, [process.env.DYNO]);
    // Woken by a message, or looking again by itself.
    if (rowCount === 0) await new Promise((resolve) => setTimeout(resolve, 500, listener.once("notification", resolve)));
  }
  listener.release();
  await pool.end();
}

process.on("SIGTERM", () => (over = true));
work().catch((error) => {
  console.log(`the queue is out of reach: ${error.message}`);
  process.exit(1);
});
