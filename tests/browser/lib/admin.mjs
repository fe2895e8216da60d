// The operator's dashboard, for browsers of a test.

import { spawn } from 'node:child_process';
import { inNodeNamespace, NODE_IP } from './netns.mjs';

export const DASHBOARD = `http://${NODE_IP}:8446/dashboard`;

/** The admin port is on the node's loopback, where no browser of the test is: bytes are carried there and back. */
export async function carryAdmin() {
  const [command, ...rest] = inNodeNamespace(process.execPath, '-e', `const net = require('net');
    net.createServer((near) => {
      const far = net.connect(8444, '127.0.0.1');
      for (const [from, to] of [[near, far], [far, near]]) from.on('error', () => to.destroy()).pipe(to);
    }).listen(8446, '${NODE_IP}', () => console.log('ready'))`);
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((done) => child.once('exit', done));
  // The next case wants the same port.
  const close = () => { child.kill(); return ended; };
  await Promise.race([new Promise((done) => child.stdout.once('data', done)), ended.then(() => { throw new Error('the admin port is not carried'); })]);
  return { close };
}
