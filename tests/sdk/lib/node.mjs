// The node's side of signalling, as the protocol is written down in src/signal/README.md, on a port of loopback: the
// WebSocket, and WHIP and WHEP. What it was told is kept in order; what it says next is the test's.

import { createServer } from 'node:http';
import { ws } from './packages.mjs';
import { ANSWER, FRAGMENT } from './peer.mjs';

export class FakeNode {
  /** Every message and request, oldest first. */
  seen = [];
  /** Sessions by name, with their secrets. */
  sessions = new Map();
  sockets = new Set();
  /** Refusals to come, first come first served: problems for the next `publish`, `subscribe` or POST. */
  refuse = [];
  /** A close code instead of a welcome. */
  closeHello = 0;
  /** Whether a `hello` with this token is welcomed. One that resumes a session by its secret always is. */
  accepts = () => true;
  /** Called when an offer has come, before it is answered. */
  onoffer = () => {};
  /** Messages that follow an answer at once, given its session's name. */
  breath = () => [];
  /** What answers name. */
  iceServers = [{ urls: ['stun:192.0.2.9'] }];
  /** What there is of a picture, for who has chosen this. */
  layers = (layer) => ({
    layers: [{ id: 0, rid: 'q', width: 320, height: 180, bits_per_second: 150_000, frames_per_second: 30, alive: true }, { id: 1, rid: 'h', width: 640, height: 360, bits_per_second: 500_000, frames_per_second: 30, alive: false }],
    current: layer === 'none' ? null : 0, layer, why: 'stopped', detail: 'the publisher stopped the better one',
  });
  /** The requests for events that wait, by session. */
  #events = new Map();
  /** Whether a restart over HTTP is a 404. */
  forgotten = false;
  /** Whether sockets are accepted. */
  hasSocket;
  #server;
  #sockets;
  #unreachable = new Set();
  #next = 1;
  /** Ports that nodes have had: what the SDK remembers of a node it remembers by its address, for as long as a page lives. */
  static #had = new Set();

  static async start({ socket = true, port = 0 } = {}) {
    const node = new FakeNode();
    node.hasSocket = socket;
    node.#server = createServer((request, response) => node.#http(request, response));
    node.#sockets = new ws.WebSocketServer({ noServer: true, handleProtocols: (offered) => (offered.has('corecast.v1') ? 'corecast.v1' : false) });
    node.#server.on('upgrade', (request, stream, head) => {
      if (!node.hasSocket || request.url !== '/ws') { stream.end('HTTP/1.1 404 Not Found\r\n\r\n'); return; }
      node.#sockets.handleUpgrade(request, stream, head, (socket) => node.#serve(socket));
    });
    node.port = await node.#listen(port);
    FakeNode.#had.add(node.port);
    node.url = `http://127.0.0.1:${node.port}`;
    return node;
  }

  /** Listens on this port, or on one that no node has had. */
  async #listen(wanted) {
    const deadline = Date.now() + 20_000;
    for (;;) {
      const error = await new Promise((done) => {
        this.#server.once('error', done);
        this.#server.listen(wanted, '127.0.0.1', () => { this.#server.off('error', done); done(null); });
      });
      if (!error) {
        const { port } = this.#server.address();
        if (wanted || !FakeNode.#had.has(port)) return port;
        await new Promise((done) => { this.#server.close(done); });
      } else if (error.code !== 'EADDRINUSE' || Date.now() > deadline) {
        throw error;
      } else {
        // Somebody's outgoing connection may have been given the port since its node ended.
        await new Promise((done) => { setTimeout(done, 50); });
      }
    }
  }

  /** Messages of a type, or requests by method. */
  told(type) { return this.seen.filter((each) => each.type === type); }

  say(message) { for (const socket of this.sockets) socket.send(JSON.stringify(message)); }

  /** Sockets vanish; sessions stay. */
  cut() { for (const socket of this.sockets) socket.terminate(); }

  /** The sockets there are lead nowhere from now on, as where an address is gone; nobody is told. */
  loseAddress() { this.#unreachable = new Set(this.sockets); }

  async stop() {
    for (const socket of this.sockets) socket.close(1001);
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  #serve(socket) {
    this.sockets.add(socket);
    socket.on('close', (code) => { this.sockets.delete(socket); this.seen.push({ type: 'socket closed', code }); });
    socket.on('message', (data) => {
      if (this.#unreachable.has(socket)) return;
      const message = JSON.parse(String(data));
      this.seen.push(message);
      if (message.type === 'hello' && this.closeHello) { socket.close(this.closeHello, 'no'); return; }
      for (const answer of this.#answers(message)) socket.send(JSON.stringify(answer));
      if (message.type === 'hello' && !this.#welcomes(message)) socket.close(4001, 'token_expired');
    });
  }

  #known({ session, secret }) { return this.sessions.get(session) === secret; }

  #welcomes({ token, resume = [] }) { return this.accepts(token) || resume.some((each) => this.#known(each)); }

  *#answers(message) {
    const { type, id, session, stream, resume = [] } = message;
    const known = (each) => this.#known(each);
    if (type === 'hello' && !this.#welcomes(message)) {
      yield { type: 'error', id, status: 401, code: 'token_expired', detail: 'the token has run out: get a new one' };
    } else if (type === 'hello') {
      yield { type: 'welcome', id, version: 1, node: 'fake', grace_s: 30, limits: { idle_s: 60 },
        resumed: resume.filter(known).map((each) => each.session), gone: resume.filter((each) => !known(each)).map((each) => each.session) };
    } else if (type === 'publish' || type === 'subscribe') {
      this.onoffer();
      const problem = this.refuse.shift();
      if (problem) { yield { type: 'error', id, ...problem }; return; }
      const name = `s${this.#next++}`;
      this.sessions.set(name, `secret of ${name}`);
      yield { type: 'answer', id, session: name, secret: `secret of ${name}`, stream, direction: type === 'publish' ? 'publish' : 'play', worker: 0, sdp: ANSWER, ice_servers: this.iceServers };
      // In the same breath, as a real node may.
      yield* this.breath(name);
      yield { type: 'connected', session: name };
      yield { type: 'stream', stream, live: true };
    } else if (type === 'restart') {
      if (this.sessions.has(session)) yield { type: 'restarted', id, session, fragment: FRAGMENT };
      else yield { type: 'error', id, session, status: 404, code: 'no_such_session', detail: 'no such session' };
    } else if (type === 'close') {
      this.sessions.delete(session);
      yield { type: 'closed', id, session };
    } else if (type === 'layer') {
      const { rid } = message.layer ?? {};
      if (rid === 'x') yield { type: 'error', id, session, status: 404, code: 'no_such_layer', detail: 'rid "x": the stream has q, h: send one of these, or none' };
      else yield* [{ type: 'chosen', id, session }, { type: 'layers', session, ...this.layers(message.layer) }];
    } else if (type === 'ping') {
      yield { type: 'pong', id };
    }
  }

  #links(session) {
    const core = 'urn:ietf:params:whep:ext:core';
    return `<${session}/layer>; rel="${core}:layer", <${session}/events>; rel="${core}:server-sent-events"; events="layers", <stun:192.0.2.9>; rel="ice-server"`;
  }

  /** WHEP's resources for layers: an event is the newest, and waits for who asks. */
  #extension(method, url, headers, body, response) {
    const session = url.replace(/\/\w+$/, '');
    const events = this.#events.get(session) ?? { id: 0, data: null, waits: null };
    this.#events.set(session, events);
    const send = () => {
      if (!events.waits || events.data === null || Number(events.waits.last) === events.id) return;
      events.waits.response.writeHead(200, { 'content-type': 'text/event-stream' }).end(`retry: 100\nid: ${events.id}\nevent: layers\ndata: ${events.data}\n\n`);
      events.waits = null;
    };
    if (method === 'GET') {
      events.waits = { response, last: headers['last-event-id'] };
      send();
    } else if (url.endsWith('/events')) {
      response.writeHead(201, { location: url }).end();
    } else {
      const { soundOnly, rid } = JSON.parse(body);
      if (rid === 'x') { response.writeHead(404, { 'content-type': 'application/problem+json' }).end(JSON.stringify({ status: 404, code: 'no_such_layer', detail: 'no such' })); return; }
      const { layers, current, why, detail } = this.layers(soundOnly ? 'none' : rid ? { rid } : 'auto');
      const shown = layers.map(({ id, bits_per_second: bits, frames_per_second: framesPerSecond, alive, ...rest }) => ({ ...rest, framesPerSecond, bitrate: alive ? bits : 0, current: current === id }));
      Object.assign(events, { id: events.id + 1, data: JSON.stringify({ 1: shown, choice: soundOnly ? 'none' : rid ? { rid } : 'auto', why, detail }) });
      response.writeHead(200).end();
      send();
    }
  }

  #http(request, response) {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const { method, url, headers } = request;
      this.seen.push({ type: method, url, headers, body: String(Buffer.concat(chunks)) });
      if (/\/(layer|events)$/.test(url)) { this.#extension(method, url, headers, String(Buffer.concat(chunks)), response); return; }
      if (method === 'POST') this.onoffer();
      const problem = method === 'POST' ? this.refuse.shift() : undefined;
      const [status, head, body] = problem ? [problem.status, { 'content-type': 'application/problem+json', ...(problem.retry_after_s ? { 'retry-after': String(problem.retry_after_s) } : {}) }, JSON.stringify(problem)]
        : method === 'POST' ? [201, { 'content-type': 'application/sdp', link: this.#links(`${url}/r${this.#next}`), location: `${url}/r${this.#next++}` }, ANSWER]
          : method === 'PATCH' && this.replaced ? [410, { 'content-type': 'application/problem+json' }, JSON.stringify({ status: 410, code: 'replaced', detail: 'another publisher took the name over' })]
          : method === 'PATCH' && this.forgotten ? [404, {}, '']
            : method === 'PATCH' ? [200, { 'content-type': 'application/trickle-ice-sdpfrag' }, FRAGMENT] : [200, {}, ''];
      response.writeHead(status, head).end(body);
    });
  }
}

/** Waits until `check` gives something; a machine that stood still meanwhile gets one look more. */
export async function until(what, check, within = 20_000) {
  for (const deadline = Date.now() + within; ;) {
    const isLast = Date.now() >= deadline;
    const found = await check();
    if (found) return found;
    if (isLast) break;
    await new Promise((done) => { setTimeout(done, 5); });
  }
  throw new Error(`${what}: not within ${within} ms`);
}
