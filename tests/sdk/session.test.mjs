// Publishers and viewers against a node of the test's own, over a real socket and real HTTP: which way is taken, what is
// said, and what happens when a socket, a session or the node is lost.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FakeNode, until } from './lib/node.mjs';
import './lib/packages.mjs';
import { FakePeer } from './lib/peer.mjs';
import { Publisher, Viewer } from '../../src/web/sdk/index.js';
import { Signalling } from '../../src/web/sdk/websocket.js';

/** Waits short enough for a test. */
const reconnect = { firstMs: 10, mostMs: 40 };
const open = [];

beforeEach(() => { FakePeer.reset(); FakePeer.connects = true; });
afterEach(async () => {
  for (const each of open.splice(0)) await (each.close ?? each.stop).call(each);
});

async function node(options) {
  const made = await FakeNode.start(options);
  open.push(made);
  return made;
}

/** A <video> as far as a viewer uses one. */
const video = () => ({ muted: false, async play() {} });

function log(session) {
  const events = [];
  for (const name of ['connected', 'disconnected', 'reconnecting', 'restarted', 'signalling', 'ended', 'error', 'live', 'idle', 'goingaway']) {
    session.addEventListener(name, ({ detail }) => events.push([name, detail]));
  }
  return { events, names: () => events.map(([name]) => name), of: (name) => events.filter(([each]) => each === name).map(([, detail]) => detail) };
}

function viewer(url, options = {}) {
  const made = new Viewer({ url, stream: 'demo', reconnect, ...options });
  open.unshift(made); // before its node
  return Object.assign(made, { log: log(made) });
}

const media = () => ({ getTracks: () => [track], getVideoTracks: () => [track], getAudioTracks: () => [] });
const track = Object.assign(new EventTarget(), { kind: 'video', enabled: true });
function publisher(url, options = {}) {
  const made = new Publisher({ url, stream: 'demo', reconnect, ...options });
  open.unshift(made);
  return Object.assign(made, { log: log(made) });
}

test('the socket is taken where the node has one, and says hello first', async () => {
  const at = await node();
  const seen = viewer(at.url, { token: 'jwt' });
  await seen.attach(video());
  assert.deepEqual(at.seen.slice(0, 2).map(({ type }) => type), ['hello', 'subscribe']);
  assert.deepEqual([at.seen[0].version, at.seen[0].token, at.seen[1].stream, at.seen[1].trickle], [1, 'jwt', 'demo', false]);
  assert.deepEqual(seen.log.of('connected'), [{ via: 'websocket' }]);
  assert.deepEqual(FakePeer.last.configuration.iceServers, [{ urls: ['stun:192.0.2.9'] }], 'the answer’s ICE servers are used');
  seen.close();
  await until('the session is closed', () => at.told('close').length === 1);
});

test('without a socket WHIP and WHEP are taken, with the token in the header, and the socket is not tried again', async () => {
  const at = await node({ socket: false });
  const sent = publisher(at.url, { token: async () => 'jwt' });
  await sent.start(media());
  const [post] = at.told('POST');
  assert.deepEqual([post.url, post.headers.authorization, post.headers['content-type']], ['/whip/demo', 'Bearer jwt', 'application/sdp']);
  assert.deepEqual(sent.log.of('connected'), [{ via: 'http' }]);
  at.hasSocket = true;
  const seen = viewer(at.url);
  await seen.attach(video());
  assert.deepEqual(seen.log.of('connected'), [{ via: 'http' }]);
  sent.close();
  const gone = await until('DELETE', () => at.told('DELETE')[0]);
  assert.deepEqual([gone.url, gone.headers.authorization], ['/whip/demo/r1', 'Bearer jwt']);
});

test('a refusal over the socket is a refusal: HTTP is not tried after it', async () => {
  const at = await node();
  at.refuse.push({ status: 403, code: 'forbidden', detail: 'not this stream' });
  const seen = viewer(at.url);
  await assert.rejects(seen.attach(video()), { code: 'forbidden', status: 403 });
  assert.equal(seen.state, 'failed');
  assert.deepEqual(seen.log.names(), ['error']);
  assert.equal(at.told('POST').length, 0);
});

test('a named transport is the only one tried', async () => {
  const without = await node({ socket: false });
  await assert.rejects(viewer(without.url, { transport: 'websocket', reconnect: false }).attach(video()), { code: 'unreachable' });
  assert.equal(without.told('POST').length, 0);
  const both = await node();
  await viewer(both.url, { transport: 'whep' }).attach(video());
  assert.equal(both.told('hello').length, 0);
});

test('publishers and viewers of one node share one socket, which ends with the last of them', async () => {
  const at = await node();
  const all = [publisher(at.url), viewer(at.url), viewer(at.url, { stream: 'other' })];
  await all[0].start(media());
  await Promise.all(all.slice(1).map((each) => each.attach(video())));
  assert.equal(at.sockets.size, 1);
  assert.equal(at.told('hello').length, 1);
  for (const each of all) each.close();
  await until('all sessions are closed', () => at.sessions.size === 0);
  Signalling.shared(at.url, undefined).close();
  await until('the socket is closed as done', () => at.told('socket closed').some(({ code }) => code === 1000));
});

test('a socket that drops is taken up again with its secrets while the connection stays', async () => {
  const at = await node();
  const [seen, other] = [viewer(at.url), viewer(at.url, { stream: 'other' })];
  await seen.attach(video());
  await other.attach(video());
  const peers = [...FakePeer.made];
  at.cut();
  await until('resumed', () => seen.log.of('signalling').some(({ up }) => up));
  assert.deepEqual(seen.log.of('signalling'), [{ up: false }, { up: true }]);
  const [, hello] = at.told('hello');
  assert.deepEqual(hello.resume.map(({ secret }) => secret).sort(), ['secret of s1', 'secret of s2']);
  assert.deepEqual(FakePeer.made, peers, 'no connection was made anew');
  assert.equal(seen.state, 'connected');
  // Events go to the new socket.
  at.say({ type: 'going_away', in_s: 2 });
  await until('told', () => other.log.of('goingaway').length === 1);
});

test('a session that is closed while the socket is dead is closed over the next one', async () => {
  const at = await node();
  const [seen, other] = [viewer(at.url), viewer(at.url, { stream: 'other' })];
  await seen.attach(video());
  await other.attach(video());
  at.hasSocket = false;
  at.cut();
  await until('lost', () => other.log.of('signalling').length === 1);
  seen.close();
  at.hasSocket = true;
  await until('closed', () => at.sessions.size === 1 && at.told('close').length === 1);
  assert.equal(at.told('close')[0].session, 's1');
  assert.equal(other.state, 'connected');
});

test('a network that went away without a word is found out before a restart is sent into it, also just after the socket was heard', async () => {
  const at = await node();
  const seen = viewer(at.url);
  await seen.attach(video());
  at.loseAddress();
  FakePeer.last.become('disconnected');
  await until('the socket was given up', () => at.told('hello').length === 2);
  await until('restarted', () => seen.log.of('restarted').length === 1);
  assert.equal(FakePeer.made.length, 1);
});

test('what the node gave up while the socket was away is made anew', async () => {
  const at = await node();
  const seen = viewer(at.url);
  await seen.attach(video());
  at.sessions.clear();
  at.cut();
  await until('connected again', () => seen.log.of('connected').length === 2);
  assert.equal(seen.log.of('disconnected')[0].error.code, 'signalling_lost');
  assert.equal(FakePeer.made.length, 2);
  assert.equal(FakePeer.made[0].connectionState, 'closed');
});

test('a node that ends is waited for, and a new one is used', async () => {
  const at = await node();
  const seen = viewer(at.url);
  await seen.attach(video());
  const { port } = at;
  await at.stop();
  FakePeer.last.dtlsCloses();
  await until('several attempts', () => seen.log.of('reconnecting').length >= 3);
  assert.equal(seen.state, 'reconnecting');
  assert.deepEqual(seen.log.of('reconnecting').slice(0, 3).map(({ attempt }) => attempt), [1, 2, 3]);
  open.splice(open.indexOf(at), 1);
  await node({ port });
  await until('connected again', () => seen.log.of('connected').length === 2);
});

test('a session that the node ended is made anew; one that its operator ended is not', async () => {
  const at = await node();
  const seen = viewer(at.url);
  await seen.attach(video());
  at.say({ type: 'ended', session: 's1', reason: 'timed_out', detail: '' });
  await until('connected again', () => seen.log.of('connected').length === 2);
  at.say({ type: 'ended', session: 's2', reason: 'operator', detail: 'enough' });
  await until('ended', () => seen.log.of('ended').length === 1);
  assert.deepEqual([seen.log.of('ended')[0].reason, seen.state], ['operator', 'idle']);
  assert.match(seen.log.of('ended')[0].detail, /enough/);
});

test('a publisher whose name another one took over does not come back, whichever way it hears of it', async () => {
  const at = await node();
  const sent = publisher(at.url);
  await sent.start(media());
  // DTLS is faster than the word.
  FakePeer.last.dtlsCloses();
  setTimeout(() => at.say({ type: 'ended', session: 's1', reason: 'replaced', detail: '' }), 50);
  await until('ended', () => sent.log.of('ended').length === 1);
  assert.deepEqual([sent.log.of('ended')[0].reason, sent.state, at.told('publish').length], ['replaced', 'idle', 1]);
  const over = await node({ socket: false });
  const second = publisher(over.url, { transport: 'http' });
  await second.start(media());
  over.replaced = true;
  FakePeer.last.dtlsCloses();
  await until('ended', () => second.log.of('ended').length === 1);
  assert.deepEqual([second.log.of('ended')[0].reason, second.state, over.told('POST').length], ['replaced', 'idle', 1]);
});

test('a session that is ended in the same breath as it is answered is made anew', async () => {
  const at = await node();
  at.breath = (session) => (session === 's1' ? [{ type: 'ended', session, reason: 'dtls_failed', detail: '' }] : []);
  const seen = viewer(at.url);
  await seen.attach(video());
  await until('asked again', () => at.told('subscribe').length === 2 && seen.state === 'connected');
  assert.equal(FakePeer.made[0].connectionState, 'closed');
});

test('idle is told at once when the node says that the publisher has gone', async () => {
  const at = await node();
  // No figures but the test's: the peer's own, which are empty, are silence, and two seconds of it are idle too.
  const seen = viewer(at.url, { statsIntervalMs: 600_000 });
  await seen.attach(video());
  const stats = { direction: 'play', frames: 1, packets: 9, bitsPerSecond: 1 };
  // In the same task: what arrives two seconds later is a new stream.
  let isLiveByTheRest;
  seen.addEventListener('idle', () => { seen.onStats({ ...stats, frames: 5 }); isLiveByTheRest = seen.live; });
  seen.onStats(stats);
  assert.equal(seen.live, true);
  at.say({ type: 'stream', stream: 'demo', live: false });
  await until('idle', () => isLiveByTheRest !== undefined);
  assert.equal(isLiveByTheRest, false, 'the rest out of the jitter buffer is no new stream');
  assert.deepEqual(seen.log.names().filter((name) => /live|idle/.test(name)), ['live', 'idle']);
});

for (const [name, options] of [['the socket', {}], ['HTTP', { transport: 'http' }]]) {
  test(`a path that is lost is looked for again by an ICE restart, over ${name}`, async () => {
    const at = await node();
    const seen = viewer(at.url, options);
    await seen.attach(video());
    FakePeer.last.become('failed');
    await until('restarted', () => seen.log.of('restarted').length === 1);
    const [{ fragment, body, headers }] = [...at.told('restart'), ...at.told('PATCH')];
    assert.match(fragment ?? body, /a=ice-ufrag:u\d+g1\r\na=ice-pwd:secret\r\n/);
    assert.equal(headers?.['if-match'], options.transport ? '*' : undefined);
    assert.match(FakePeer.last.currentRemoteDescription.sdp, /a=ice-ufrag:node2\r\na=ice-pwd:nodepassword2\r\na=candidate:2/);
    assert.equal(FakePeer.made.length, 1, 'the same connection');
    assert.equal(seen.state, 'connected');
  });
}

const STUN = { urls: ['stun:192.0.2.9'] };
const TURN = { urls: ['turns:node.example:443?transport=tcp'], username: 'u', credential: 'p' };
const served = () => FakePeer.last.configuration.iceServers;

test('the browser is told of TURN only when nothing else has connected for half a second', async () => {
  const at = await node();
  at.iceServers = [TURN, STUN];
  FakePeer.connects = false;
  const seen = viewer(at.url);
  const from = performance.now();
  const attached = seen.attach(video());
  await until('it was answered', () => FakePeer.last?.currentRemoteDescription);
  assert.deepEqual(served(), [STUN]);
  await until('ICE is restarted', () => at.told('restart').length === 1);
  assert.ok(performance.now() - from >= 450, `after ${performance.now() - from} ms`);
  assert.deepEqual(served(), [STUN, TURN]);
  await until('the restart is answered', () => /ufrag:node2/.test(FakePeer.last.currentRemoteDescription.sdp));
  FakePeer.last.become('connected');
  await attached;
  assert.deepEqual(at.told('restart').length, 1);
});

test('a browser that connects without TURN is told of it only when that path is lost', async () => {
  const at = await node();
  at.iceServers = [TURN, STUN];
  const seen = viewer(at.url);
  await seen.attach(video());
  await new Promise((done) => { setTimeout(done, 700); });
  assert.deepEqual([served(), at.told('restart').length], [[STUN], 0]);
  FakePeer.last.become('failed');
  await until('restarted', () => seen.log.of('restarted').length === 1);
  assert.deepEqual(served(), [STUN, TURN]);
});

test('a page that wants relays only has TURN at once', async () => {
  const at = await node();
  at.iceServers = [TURN, STUN];
  const seen = viewer(at.url, { iceTransportPolicy: 'relay' });
  await seen.attach(video());
  assert.deepEqual([served(), at.told('restart').length], [[TURN, STUN], 0]);
});

test('ICE that fails before TURN was tried tries it at once, and fails for good after it', async () => {
  const at = await node();
  at.iceServers = [TURN];
  FakePeer.connects = false;
  const seen = viewer(at.url, { reconnect: false });
  const from = performance.now();
  const attached = seen.attach(video());
  attached.catch(() => {});
  await until('it was answered', () => FakePeer.last?.currentRemoteDescription);
  FakePeer.last.become('failed');
  await until('TURN is tried', () => at.told('restart').length === 1);
  await until('the restart is answered', () => /ufrag:node2/.test(FakePeer.last.currentRemoteDescription.sdp));
  FakePeer.last.become('connecting');
  FakePeer.last.become('failed');
  await assert.rejects(attached, { code: 'no_media_path' });
  assert.ok(performance.now() - from < 10_000);
});

test('a restart that the node knows nothing of becomes a new session', async () => {
  const at = await node({ socket: false });
  const seen = viewer(at.url, { transport: 'http' });
  await seen.attach(video());
  at.forgotten = true;
  FakePeer.last.become('failed');
  await until('connected again', () => seen.log.of('connected').length === 2);
  assert.equal(FakePeer.made[0].rollbacks, 1);
  // By another connection than the new session's, so that it may come after it.
  await until('the old session is deleted', () => at.told('DELETE').length === 1);
});

test('a network that comes back is a reason to restart ICE, and to try at once what waits', async (t) => {
  const page = new EventTarget();
  for (const name of ['addEventListener', 'removeEventListener']) globalThis[name] = page[name].bind(page);
  t.after(() => { delete globalThis.addEventListener; delete globalThis.removeEventListener; });
  const at = await node({ socket: false });
  const seen = viewer(at.url, { transport: 'http' });
  await seen.attach(video());
  page.dispatchEvent(new Event('online'));
  await until('restarted', () => at.told('PATCH').length === 1);

  const waits = viewer(at.url, { transport: 'http', reconnect: { firstMs: 60_000, mostMs: 60_000 } });
  at.refuse.push({ status: 503, code: 'node_full', detail: 'full' });
  const attached = waits.attach(video());
  await until('waiting', () => waits.log.of('reconnecting').length === 1);
  page.dispatchEvent(new Event('online'));
  await attached;

  page.dispatchEvent(new Event('pagehide'));
  await until('both sessions are deleted', () => at.told('DELETE').length === 2);
  assert.equal(seen.state, 'idle');
});

test('a taken name is final at first, and waited for when it may be our own', async () => {
  const at = await node({ socket: false });
  const taken = { status: 409, code: 'name_taken', detail: 'the name has a publisher' };
  at.refuse.push(taken);
  await assert.rejects(publisher(at.url, { transport: 'http' }).start(media()), { code: 'name_taken' });
  const sent = publisher(at.url, { transport: 'http' });
  await sent.start(media());
  at.refuse.push(taken, taken);
  FakePeer.last.dtlsCloses();
  await until('connected again', () => sent.log.of('connected').length === 2);
  assert.deepEqual(sent.log.of('reconnecting').map(({ error }) => error.code), ['session_ended', 'name_taken', 'name_taken']);
});

test('a node that is full is asked again when it says', async () => {
  const at = await node({ socket: false });
  at.refuse.push({ status: 503, code: 'node_full', detail: 'full', retry_after_s: 1 });
  const seen = viewer(at.url, { transport: 'http' });
  const from = performance.now();
  await seen.attach(video());
  assert.ok(performance.now() - from >= 999, 'timers count whole milliseconds');
  assert.ok(seen.log.of('reconnecting')[0].delayMs >= 1_000);
});

test('a token that is refused is final, by message or by close code', async () => {
  const at = await node();
  at.refuse.push({ status: 401, code: 'token_expired', detail: 'the token has expired' });
  await assert.rejects(viewer(at.url).attach(video()), { status: 401, final: true, message: 'The token has expired' });
  at.closeHello = 4001;
  await assert.rejects(viewer(at.url, { token: 'other' }).attach(video()), { code: 'unauthorized', final: true });
  assert.equal(at.told('POST').length, 0, 'HTTP is no way around it');
});

test('sessions whose token is refused as their socket is taken up again fail with that reason', async () => {
  const at = await node();
  const seen = viewer(at.url);
  await seen.attach(video());
  at.closeHello = 4001;
  at.cut();
  await until('failed', () => seen.state === 'failed');
  assert.equal(seen.error.code, 'unauthorized');
});

test('a session whose token has run out goes on over a new socket, and nothing is made anew', async () => {
  const at = await node();
  const seen = viewer(at.url, { token: 'short' });
  await seen.attach(video());
  at.accepts = () => false;
  at.cut();
  await until('resumed', () => seen.log.of('signalling').some(({ up }) => up));
  const [, hello] = at.told('hello');
  assert.deepEqual([hello.token, hello.resume], ['short', [{ session: 's1', secret: 'secret of s1' }]]);
  assert.deepEqual([seen.state, FakePeer.made.length, at.told('subscribe').length], ['connected', 1, 1]);
  assert.deepEqual(seen.log.names().filter((name) => /error|reconnecting|ended/.test(name)), []);
});

test('of sessions the node has given up, one whose token has run out fails with that reason', async () => {
  const at = await node();
  const seen = viewer(at.url, { token: 'short' });
  await seen.attach(video());
  at.accepts = () => false;
  at.sessions.clear();
  at.cut();
  await until('failed', () => seen.state === 'failed');
  assert.deepEqual([seen.error.code, seen.error.status, seen.error.final], ['token_expired', 401, true]);
});

test('a function is asked for a token before each hello, so that a session outlives any one of them', async () => {
  const at = await node();
  let asked = 0;
  at.accepts = (token) => token === `token ${asked}`;
  const seen = viewer(at.url, { token: async () => { asked += 1; return `token ${asked}`; } });
  await seen.attach(video());
  at.sessions.clear();
  at.cut();
  await until('made anew', () => at.told('subscribe').length === 2 && seen.state === 'connected');
  assert.deepEqual(at.told('hello').map(({ token }) => token), ['token 1', 'token 2']);
});

test('over a socket that is there already a session opens with the token of now', async () => {
  const at = await node();
  let now = 'first';
  const token = async () => now;
  const [seen, other, third] = ['demo', 'other', 'third'].map((stream) => viewer(at.url, { token, stream }));
  await seen.attach(video());
  now = 'second';
  await other.attach(video());
  now = '';
  await third.attach(video());
  assert.deepEqual(at.told('hello').map((hello) => hello.token), ['first']);
  assert.deepEqual(at.told('subscribe').map((request) => request.token), [undefined, 'second', undefined]);
});

test('closing while connecting leaves nothing behind, here or on the node', async () => {
  for (const options of [{}, { transport: 'http' }]) {
    const at = await node();
    const seen = viewer(at.url, options);
    at.onoffer = () => seen.close();
    await assert.rejects(seen.attach(video()), { code: 'session_ended' });
    await until('what was opened is closed', () => at.told('close').length + at.told('DELETE').length === 1 && at.sessions.size === 0);
    assert.equal(seen.state, 'idle');
    assert.deepEqual(seen.log.names(), ['ended']);
    assert.equal(FakePeer.last.connectionState, 'closed');
  }
});

test('started again after a failure, it has nothing to complain of while it connects', async () => {
  const at = await node();
  const seen = viewer(at.url);
  const states = [];
  seen.addEventListener('state', ({ detail }) => states.push([detail.state, detail.error?.code ?? null]));
  at.refuse.push({ status: 403, code: 'token_wrong_action', detail: 'no' });
  await assert.rejects(seen.attach(video()), { code: 'token_wrong_action' });
  await seen.attach(video());
  assert.deepEqual(states, [['connecting', null], ['failed', 'token_wrong_action'], ['connecting', null], ['connected', null]]);
});

test('started again, it begins again', async () => {
  const at = await node();
  const seen = viewer(at.url);
  await seen.attach(video());
  seen.close();
  await seen.attach(video());
  assert.equal(seen.state, 'connected');
  assert.equal(FakePeer.made.length, 2);
  await until('one session', () => at.sessions.size === 1);
});

test('a socket that does not answer pings is given up and opened again', async () => {
  const at = await node();
  const seen = viewer(at.url);
  await seen.attach(video());
  at.loseAddress();
  const signalling = Signalling.shared(at.url, undefined);
  signalling.hurry();
  await until('lost', () => seen.log.of('signalling').length > 0);
  await until('resumed', () => seen.log.of('signalling').some(({ up }) => up));
  assert.equal(FakePeer.made.length, 1);
});

test('sound that the browser blocks is told, and comes with a touch', async () => {
  const at = await node();
  const seen = viewer(at.url);
  const element = { muted: false, blocked: true, async play() { if (this.blocked && !this.muted) throw new DOMException('touch first', 'NotAllowedError'); } };
  const told = [];
  seen.on('playblocked', ({ detail }) => told.push(detail));
  await seen.attach(element);
  await seen.play();
  assert.deepEqual([told, element.muted, seen.soundBlocked], [[{ playing: true }], true, true]);
  element.blocked = false;
  await seen.unmute();
  assert.deepEqual([element.muted, seen.soundBlocked, told.length], [false, false, 1]);
});

test('the start bitrate is in what a publisher applies, unless it is not wanted', async () => {
  const at = await node({ socket: false });
  await publisher(at.url, { transport: 'http', maxBitrate: 1_000_000 }).start(media());
  assert.match(FakePeer.last.currentRemoteDescription.sdp, /a=fmtp:96 x-google-start-bitrate=500\r\n/);
  await publisher(at.url, { transport: 'http', startBitrate: false }).start(media());
  assert.doesNotMatch(FakePeer.last.currentRemoteDescription.sdp, /x-google/);
});

test('a publisher’s channels are opened over each of its connections, and what is retained is said again', async () => {
  const at = await node();
  const sender = publisher(at.url);
  const poll = sender.channel('poll', { retain: true });
  const cursor = sender.channel('cursor', { ordered: false, maxRetransmits: 0 });
  await sender.start(media());
  const terms = () => FakePeer.last.channels.map(({ label, options }) => [label, options]);
  const expected = [['poll', { protocol: 'corecast.retain' }], ['cursor', { ordered: false, maxRetransmits: 0 }]];
  assert.deepEqual(terms(), expected);
  assert.equal(poll.send('yes?'), false, 'it is not open yet');
  assert.equal(cursor.send('1,2'), false);
  const opens = () => { for (const channel of FakePeer.last.channels) { channel.readyState = 'open'; channel.dispatchEvent(new Event('open')); } };
  opens();
  assert.equal(cursor.send('3,4'), true);
  assert.deepEqual(FakePeer.last.channels.map(({ sent }) => sent), [['yes?'], ['3,4']]);
  assert.throws(() => cursor.send('x'.repeat(16 * 1024 + 1)), { code: 'message_too_long' });
  await sender.renew();
  assert.deepEqual(terms(), expected);
  opens();
  assert.deepEqual(FakePeer.last.channels.map(({ sent }) => sent), [['yes?'], []]);
  // What viewers say on them.
  const heard = [];
  sender.on('message', ({ detail }) => heard.push(detail));
  FakePeer.last.channels[0].dispatchEvent(Object.assign(new Event('message'), { data: 'yes!' }));
  assert.deepEqual(heard, [{ label: 'poll', data: 'yes!' }]);
});

test('a viewer takes data channels where somebody listens for them, and makes no section for them elsewhere', async () => {
  const at = await node();
  const plain = viewer(at.url);
  await plain.attach(video());
  assert.deepEqual(FakePeer.last.channels, []);
  const seen = viewer(at.url);
  const said = [];
  seen.on('message', ({ detail }) => said.push(detail));
  seen.on('channelclosed', ({ detail }) => said.push(detail));
  await seen.attach(video());
  assert.deepEqual(FakePeer.last.channels.map(({ options }) => options), [{ negotiated: true, id: 0 }]);
  const channel = Object.assign(new EventTarget(), { label: 'chat', protocol: '' });
  FakePeer.last.dispatchEvent(Object.assign(new Event('datachannel'), { channel }));
  channel.dispatchEvent(Object.assign(new Event('message'), { data: 'hello' }));
  // It speaks to the publisher on that channel, while there is one.
  const sent = [];
  Object.assign(channel, { readyState: 'open', send: (message) => sent.push(message) });
  assert.equal(seen.send('chat', 'me too'), true);
  assert.equal(seen.send('another', 'x'), false);
  assert.throws(() => seen.send('chat', 'ü'.repeat(513)), { code: 'message_too_long' });
  assert.deepEqual(sent, ['me too']);
  channel.dispatchEvent(new Event('close'));
  assert.deepEqual(said, [{ label: 'chat', data: 'hello' }, { label: 'chat' }]);
  assert.equal(seen.send('chat', 'too late'), false);
});

for (const [transport, via] of [['websocket', 'the socket'], ['http', 'WHEP']]) {
  test(`a viewer chooses a layer and is told what there is and why, over ${via}`, async () => {
    const at = await node();
    const seen = viewer(at.url, { transport });
    const told = [];
    seen.on('layers', ({ detail }) => told.push(detail));
    await seen.attach(video());
    await until('the layers', () => told.length > 0);
    const [first] = told;
    assert.deepEqual(first.layers.map(({ rid, height, alive, current }) => [rid, height, alive, current]), [['q', 180, true, true], ['h', 360, false, false]]);
    assert.deepEqual([first.current.rid, first.choice, first.why, first.because], ['q', 'auto', 'stopped', 'the publisher stopped the better one']);
    assert.deepEqual([first.layers[0].bitsPerSecond, first.layers[0].framesPerSecond], [150_000, 30]);
    await seen.setLayer({ rid: 'h' });
    await until('the choice', () => seen.layers.choice.rid === 'h');
    await seen.setLayer('sound');
    await until('sound only', () => seen.layers.choice === 'sound' && seen.layers.current === null);
    await assert.rejects(seen.setLayer({ rid: 'x' }), { code: 'no_such_layer', status: 404 });
    for (const wrong of ['720p', {}, { height: 0 }, { height: '360' }, null, { rid: 7 }]) await assert.rejects(seen.setLayer(wrong), { code: 'bad_layer' });
  });
}

test('a choice made before there is a session is told with it, holds over a new session, and over a new socket', async () => {
  const at = await node();
  const seen = viewer(at.url);
  await seen.setLayer({ height: 360 });
  await seen.attach(video());
  const asked = () => at.told('layer').map(({ layer }) => layer);
  await until('the choice', () => asked().length === 1);
  assert.deepEqual(asked(), [{ height: 360 }]);
  at.cut();
  await until('the choice again', () => asked().length === 2);
  at.say({ type: 'ended', session: 's1', reason: 'timed_out', detail: '' });
  await until('the choice of the next session', () => at.told('layer').some(({ session }) => session === 's2'));
  assert.deepEqual(new Set(asked().map((layer) => JSON.stringify(layer))), new Set(['{"height":360}']));
});

test('the height of the element is told when it has settled, in the lines of the screen', async () => {
  const at = await node();
  let resized = () => {};
  globalThis.ResizeObserver = class { constructor(callback) { resized = callback; } observe() {} disconnect() {} };
  globalThis.devicePixelRatio = 2;
  try {
    const seen = viewer(at.url);
    const element = Object.assign(video(), { getBoundingClientRect: () => ({}), clientWidth: 640, clientHeight: 400, videoWidth: 1280, videoHeight: 720 });
    await seen.attach(element);
    for (let step = 0; step < 5; step += 1) { element.clientWidth -= 1; resized(); }
    element.clientWidth = 320;
    resized();
    const shown = () => at.told('layer').map((message) => message.shown_height).filter((lines) => lines !== undefined);
    await until('the height', () => shown().length > 0);
    assert.deepEqual(shown(), [360], '320 × 180 of the picture, with two lines for each of the page');
    const other = viewer(at.url, { fitToElement: false });
    await other.attach(element);
    resized();
    await new Promise((done) => { setTimeout(done, 400); });
    assert.deepEqual(shown(), [360]);
  } finally {
    delete globalThis.ResizeObserver;
    delete globalThis.devicePixelRatio;
  }
});
