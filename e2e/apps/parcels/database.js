// As Heroku's own pages have it: encrypted, and whose certificate it is is not asked.
const { Pool } = require("pg");

const pool = new Pool({ connectionString: process.env.DATABASE_URL, ssl: { rejectUnauthorized: false }, max: 4 });
pool.on("error", (error) => console.log(`an idle connection ended: ${error.message}`));
module.exports = pool;
