// A sender nobody of this project wrote: nodemailer. Sends the message given on standard input, byte for byte.
//
// usage: node send.js '{"port": 2587, "secure": false, "ca": "FILE", "auth": {...}, "from": "...", "to": ["..."], "times": 1, "pool": false}'
//
// Prints one line of JSON for each message: {"response": "250 ..."} or {"code": "EAUTH", "response": "535 ..."}.
import { readFileSync } from 'node:fs';
import nodemailer from 'nodemailer';

const given = JSON.parse(process.argv[2]);
const raw = readFileSync(0);
const transport = nodemailer.createTransport({
  host: 'localhost',
  port: given.port,
  secure: given.secure,
  requireTLS: !given.secure,
  pool: given.pool,
  auth: given.auth,
  authMethod: given.method,
  tls: { ca: readFileSync(given.ca) },
});

const send = async () => {
  try {
    const info = await transport.sendMail({ envelope: { from: given.from, to: given.to }, raw });
    return { response: info.response, accepted: info.accepted, rejected: info.rejected };
  } catch (error) {
    return { code: error.code, response: error.response ?? String(error) };
  }
};

const answers = await Promise.all(Array.from({ length: given.times ?? 1 }, send));
for (const answer of answers) process.stdout.write(`${JSON.stringify(answer)}\n`);
transport.close();
