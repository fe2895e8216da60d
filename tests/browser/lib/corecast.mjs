// Starts the node under test, speaks WHIP and WHEP to it, asks it for its figures, and ends it.

import { spawn, execFile, execFileSync } from 'node:child_process';
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { artifact, repository } from './artifacts.mjs';
import { opened } from './leftovers.mjs';
import { inNodeNamespace, NODE_IP } from './netns.mjs';

export const BASE = `https://${NODE_IP}:8443`;
const ADMIN = 'http://127.0.0.1:8444';
const BINARY = process.env.CORECAST_BIN ?? path.join(repository, 'target/release/corecast');
const READY_WITHIN_MS = 30_000;
const EXIT_WITHIN_MS = 20_000;
/** The node gives itself two seconds (`limits::SHUTDOWN_TIME_MAX`); the rest is for a machine that lets it, or this process, wait. */
export const ENDED_WITHIN_MS = 2_000 + 3_000;
const GET = `fetch(process.argv[1]).then(async (r) => { process.stdout.write(await r.text());
  if (!r.ok) process.exit(2); }, (e) => { console.error(String(e.cause ?? e)); process.exit(1); })`;

/** One request to the node from this namespace, whatever its certificate says. */
export function request(method, location, { body, headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    const url = new URL(location, BASE);
    const call = https.request(url, { method, headers, rejectUnauthorized: false, timeout: 30_000, agent: false }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({
        status: response.statusCode, headers: response.headers, text: Buffer.concat(chunks).toString(), url,
      }));
    });
    call.on('timeout', () => call.destroy(new Error(`${method} ${url}: no answer in 30 s`)));
    call.on('error', reject);
    call.end(body);
  });
}

/** `GET` on the admin address, from inside the node's namespace: it listens on loopback. */
function administration(path) {
  const [command, ...rest] = inNodeNamespace(process.execPath, '-e', GET, ADMIN + path);
  return new Promise((resolve, reject) => execFile(command, rest, { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
    if (error) reject(new Error(`GET ${path}: ${stderr || stdout || error.message}`.trim()));
    else resolve(stdout);
  }));
}

/** A directory with a secret and a configuration that wants it everywhere; and tokens that are made with it. */
export class Keys {
  #directory = mkdtempSync(path.join(tmpdir(), 'corecast-keys-'));
  config = path.join(this.#directory, 'node.toml');

  constructor() {
    const secret = path.join(this.#directory, 'secret');
    writeFileSync(secret, randomBytes(32).toString('base64'), { mode: 0o600 });
    writeFileSync(this.config, `[auth]\nsecret_file = '${secret}'\nadmin_token_required = true\n`);
  }

  token(...flags) { return execFileSync(BINARY, ['token', '--config', this.config, ...flags], { encoding: 'utf8' }).trim(); }

  remove() { rmSync(this.#directory, { recursive: true, force: true }); }
}

export class Corecast {
  #child;
  #exited;
  #closed;
  #state = mkdtempSync(path.join(tmpdir(), 'corecast-test-'));

  /** Starts the node and waits until it is ready. `name` names its log among the artifacts. */
  static async start(name, flags = []) {
    if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing: cargo build --release, or set CORECAST_BIN`);
    // It would answer in place of the new one, which cannot have the ports.
    if (await administration('/readyz').then(() => true, () => false)) throw new Error(`${name}: another node is still running at ${ADMIN}`);
    const node = new Corecast();
    node.log = artifact(`node-${name}.log`);
    const [command, ...rest] = inNodeNamespace('nice', '-n', '-15', BINARY, 'serve', '--https', `${NODE_IP}:8443`, '--allow-anyone',
      '--media-ip', NODE_IP, ...flags);
    const log = createWriteStream(node.log);
    log.write(`$ ${[command, ...rest].join(' ')}\n`);
    node.#child = spawn(command, rest, {
      stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, STATE_DIRECTORY: node.#state },
    });
    node.#child.stdout.pipe(log, { end: false });
    node.#child.stderr.pipe(log, { end: false });
    node.#exited = new Promise((done) => node.#child.on('exit', (code, signal) => done(signal ?? code)));
    // Not at `exit`: its last lines may still be on their way.
    node.#child.on('close', (code, signal) => log.end(`# exit: ${signal ?? code}\n`));
    node.#exited.then((how) => { node.ended = how; });
    node.#closed = opened(`node ${name}`, () => node.stop());

    const deadline = Date.now() + READY_WITHIN_MS;
    for (let why = 'no answer'; ; await sleep(100)) {
      if (node.ended !== undefined) throw new Error(`the node ended (${node.ended}) before it was ready:\n${node.tail()}`);
      try { await node.admin('/readyz'); return node; } catch (error) { why = error.message; }
      if (Date.now() > deadline) {
        await node.stop().catch(() => {});
        throw new Error(`not ready in ${READY_WITHIN_MS} ms (${why}):\n${node.tail()}`);
      }
    }
  }

  get pid() { return this.#child.pid; }

  /** The end of the node's log. */
  tail(lines = 30) { return readFileSync(this.log, 'utf8').split('\n').slice(-lines).join('\n'); }

  admin(path) { return administration(path); }

  /** The node's report: an array of workers, whatever the document around it is called. */
  async workers() {
    const report = JSON.parse(await this.admin('/api/v1/node'));
    const workers = Array.isArray(report) ? report : report.workers;
    if (!Array.isArray(workers)) throw new Error(`no workers in ${JSON.stringify(report).slice(0, 200)}`);
    return workers;
  }

  async #post(kind, stream, sdp) {
    const answer = await request('POST', `/${kind}/${stream}`, { body: sdp, headers: { 'content-type': 'application/sdp' } });
    if (answer.status !== 201) throw new Error(`POST /${kind}/${stream}: ${answer.status} ${answer.text}\n${this.tail()}`);
    if (!answer.headers.location) throw new Error(`POST /${kind}/${stream}: 201 without Location`);
    return { sdp: answer.text, location: new URL(answer.headers.location, answer.url).href, etag: answer.headers.etag };
  }

  whip(stream, offer) { return this.#post('whip', stream, offer); }
  whep(stream, offer) { return this.#post('whep', stream, offer); }
  delete(session) { return request('DELETE', session.location); }

  /** CPU time of the whole node in seconds. */
  cpuSeconds() {
    const fields = readFileSync(`/proc/${this.pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  /** Ends the node as an operator would, and says how it went: `{ status, ms }`. */
  async stop() {
    const from = Date.now();
    if (this.ended === undefined) this.#child.kill('SIGTERM');
    const status = await Promise.race([this.#exited, sleep(EXIT_WITHIN_MS, 'late', { ref: false })]);
    if (status === 'late') { this.#child.kill('SIGKILL'); await this.#exited; }
    rmSync(this.#state, { recursive: true, force: true });
    this.#closed();
    return { status, ms: Date.now() - from };
  }
}
