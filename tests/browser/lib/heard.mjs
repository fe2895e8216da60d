// What a browser's user hears: each browser plays to a sound card of its own that does not exist, and what that would have played is
// written down. So elements, mixing, muting and what a change of source costs are all in it.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Samples a second of what is written down; a kilohertz tone is plain in it. */
const RATE = 8_000;
/** A piece in which the tone is heard or not. */
const PIECE_MS = 5;
const PIECE = (RATE * PIECE_MS) / 1_000;
/** Of full scale: far below the quietest tone of the tests (0.1), far above what a codec leaves of silence. */
const HEARD = 0.01;

export class Listener {
  #directory = mkdtempSync(path.join(tmpdir(), 'corecast-heard-'));
  #server;
  #recorders = [];

  /** Starts a sound server with a card for each name. */
  static async start(names) {
    const listener = new Listener();
    const modules = [`module-native-protocol-unix socket=${listener.#socket} auth-anonymous=1`, ...names.map((name) => `module-null-sink sink_name=${name} rate=48000 channels=1`)];
    const environment = { ...process.env, HOME: listener.#directory, XDG_RUNTIME_DIR: listener.#directory };
    const flags = ['-n', '--daemonize=no', '--exit-idle-time=-1', '--use-pid-file=no', '--realtime=no', '--log-target=stderr'];
    listener.#server = spawn('nice', ['-n', '-10', 'pulseaudio', ...flags, ...modules.flatMap((module) => ['-L', module])], { stdio: 'ignore', env: environment });
    listener.#server.on('error', () => {});
    for (let left = 100; spawnSync('pactl', ['info'], { env: { ...environment, ...listener.on(names[0]) } }).status !== 0; left -= 1) {
      if (left === 0) throw new Error('the sound server does not answer: pulseaudio and pulseaudio-utils are needed (tests/run --setup)');
      await sleep(100);
    }
    return listener;
  }

  get #socket() { return path.join(this.#directory, 'socket'); }

  /** The environment of a browser that plays to this card. */
  on(name) { return { PULSE_SERVER: `unix:${this.#socket}`, PULSE_SINK: name }; }

  /** Begins to write down what is heard on a card. */
  record(name) {
    const flags = ['--raw', `--device=${name}.monitor`, `--rate=${RATE}`, '--channels=1', '--format=float32le', '--latency-msec=20'];
    const child = spawn('nice', ['-n', '-10', 'parec', ...flags], { stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, ...this.on(name) } });
    this.#recorders.push(child);
    let [rest, piece] = [Buffer.alloc(0), 0];
    let beganMs;
    /** Whether the tone was heard, piece by piece. */
    const heard = [];
    child.stdout.on('data', (chunk) => {
      beganMs ??= Date.now() - (1_000 * chunk.length) / 4 / RATE;
      rest = Buffer.concat([rest, chunk]);
      for (piece = 0; rest.length - piece >= 4 * PIECE; piece += 4 * PIECE) {
        let sum = 0;
        for (let at = piece; at < piece + 4 * PIECE; at += 4) sum += rest.readFloatLE(at) ** 2;
        heard.push(Math.sqrt(sum / PIECE) > HEARD);
      }
      rest = rest.subarray(piece);
    });
    return {
      /** Ends, and gives the silences between the first and the last sound: `[when it began (Unix, ms), how long (ms)]`. */
      stop: () => {
        child.kill();
        const gaps = [];
        let last = heard.indexOf(true);
        for (let at = last; at < heard.length; at += 1) {
          if (!heard[at]) continue;
          if (at - last > 1) gaps.push([Math.round(beganMs + (last + 1) * PIECE_MS), (at - last - 1) * PIECE_MS]);
          last = at;
        }
        return { seconds: (heard.length * PIECE_MS) / 1_000, heardS: (heard.filter(Boolean).length * PIECE_MS) / 1_000, gaps };
      },
    };
  }

  async stop() {
    for (const child of [...this.#recorders, this.#server]) child.kill();
    if (this.#server.exitCode === null && this.#server.signalCode === null) await new Promise((done) => { this.#server.once('exit', done); });
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
