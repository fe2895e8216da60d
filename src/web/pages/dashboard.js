// The operator's dashboard: what the node does now, from the differences between two of its reports. Served on the admin
// port, where the report is.

import { Spark, element, format, onToken, show, showProblem, token, write } from '/page.js';

/** A report of thousands of sessions takes the node and the network some work: the page asks a fifth of the time. */
const EVERY_MS = 2_000;
const SHARE_OF_TIME = 0.2;
/** Packets a second from which the CPU time of one is shown. */
const COST_FROM = 2_000;
/** Shares of a core from which its bar changes colour. */
const BUSY = { high: 0.7, full: 0.9 };

const TILES = ['viewers', 'streams', 'bitrate', 'packets', 'busy', 'segments', 'cost', 'floor', 'joins', 'loss', 'dropped'];
const tiles = Object.fromEntries(TILES.map((id) => [id, new Spark(element(`spark-${id}`), id === 'busy' ? { most: 0.8 } : {})]));
/** Cards of the cores, by worker. */
const cards = new Map();
let before = null;

const sum = (list, of) => list.reduce((total, each) => total + of(each), 0);
const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
const mean = (list) => (list.length ? sum(list, (each) => each) / list.length : undefined);
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
/** What a viewer may have missed; a publisher's probes and repetitions are dropped because nobody needs them. */
const lost = (counts) => sum(Object.entries(counts ?? {}), ([reason, count]) => (/^uplink_(probe|duplicate)$/.test(reason) ? 0 : count));

/** What happened between two reports of one worker, per second. */
function rates(now, then) {
  const seconds = then ? (now.uptime_ns - then.uptime_ns) / 1e9 : 0;
  const per = (of) => (seconds > 0 ? (of(now) - of(then)) / seconds : 0);
  const messages = per((worker) => worker.messages_sent);
  const packets = per((worker) => worker.sent.packets);
  return {
    packets, messages,
    bits: 8 * per((worker) => worker.sent.bytes),
    received: per((worker) => worker.received.packets),
    segments: messages > 0 ? per((worker) => worker.segments_sent) / messages : undefined,
    cpuNs: per((worker) => worker.cpu_time_ns),
    systemNs: per((worker) => worker.system_time_ns),
    joins: per((worker) => worker.joins),
    dropped: per((worker) => lost(worker.dropped)),
    retransmitted: per((worker) => worker.retransmitted.packets),
  };
}

/** The streams of all workers, by name. */
function streamsOf(report) {
  const found = new Map();
  for (const worker of report.workers) {
    for (const stream of worker.streams) {
      const entry = found.get(stream.name) ?? { name: stream.name, viewers: 0, codecs: new Set(), inBytes: 0, outBytes: 0, lost: 0, recovered: 0, asked: 0, trips: [], losses: [] };
      found.set(stream.name, entry);
      entry.viewers += stream.viewers;
      for (const encoding of stream.encodings) {
        entry.codecs.add(format.codec(encoding.codec));
        entry.outBytes += encoding.forwarded.bytes;
        if (!stream.origin) continue; // the others hold copies of the same packets
        entry.inBytes += encoding.stored.bytes;
        entry.lost += encoding.lost;
        entry.recovered += encoding.recovered;
        entry.asked += encoding.key_frame_requests;
      }
    }
    for (const session of worker.sessions) {
      const entry = found.get(session.stream);
      if (!entry || session.direction !== 'play' || session.state !== 'connected') continue;
      if (session.rtt_us > 0) entry.trips.push(session.rtt_us / 1_000);
      entry.losses.push(session.fraction_lost / 256);
    }
  }
  return found;
}

function paint(report) {
  const same = before && report.uptime_ns > before.uptime_ns;
  const then = new Map(same ? before.workers.map((worker) => [worker.worker, worker]) : []);
  const now = report.workers.map((worker) => ({ worker, rate: rates(worker, then.get(worker.worker)) }));
  const all = (of) => sum(now, ({ rate }) => of(rate));
  const streams = streamsOf(report);
  const packets = all((rate) => rate.packets);
  const messages = all((rate) => rate.messages);
  const segments = messages > 0 ? sum(now, ({ rate }) => (rate.segments ?? 0) * rate.messages) / messages : undefined;
  const busiest = Math.max(0, ...report.workers.map((worker) => worker.busy_permille / 1_000));
  // On a quiet node it is the price of waking up, which says nothing about the next thousand viewers.
  const cost = packets > COST_FROM ? all((rate) => rate.cpuNs) / packets : undefined;
  // What could not be saved by anybody: the kernel's part, and sealing, at the speed measured at the node's start.
  const { packet_ns: packetNs, octet_ns: octetNs } = report.node.sealing;
  const floor = all((rate) => rate.systemNs) + packets * packetNs + (all((rate) => rate.bits) / 8) * octetNs;
  const overFloor = cost !== undefined && floor > 0 ? all((rate) => rate.cpuNs) / floor : undefined;
  const loss = mean([...streams.values()].flatMap(({ losses }) => losses));

  write('about', `${report.node.version} · ${report.node.commit} · ${report.node.io} · up ${format.time(report.uptime_ns / 1e9)}`);
  const state = !report.ready ? 'ending' : report.workers_silent ? 'silent' : 'ready';
  element('status').dataset.state = state;
  write('status', { ready: 'Ready', ending: 'Ending', silent: `${report.workers_silent} silent` }[state]);

  const tile = (id, value, text) => {
    if (same) tiles[id].push(value);
    write(id, text);
  };
  tile('viewers', report.viewers, format.number(report.viewers));
  tile('streams', report.publishers, format.number(report.publishers));
  tile('bitrate', all((rate) => rate.bits), format.rate(all((rate) => rate.bits)));
  tile('packets', packets, `${format.number(packets)} /s`);
  tile('busy', busiest, percent(busiest));
  tile('segments', segments, format.number(segments, 1));
  tile('cost', cost, cost === undefined ? '–' : cost < 10_000 ? `${format.number(cost)} ns` : `${(cost / 1_000).toFixed(1)} µs`);
  tile('floor', overFloor, overFloor === undefined ? '–' : `${overFloor.toFixed(2)} ×`);
  tile('joins', all((rate) => rate.joins), `${format.number(all((rate) => rate.joins), 1)} /s`);
  tile('loss', loss, format.share(loss));
  tile('dropped', all((rate) => rate.dropped), `${format.number(all((rate) => rate.dropped), 1)} /s`);

  for (const { worker, rate } of now) card(worker, rate);
  const seconds = same ? (report.uptime_ns - before.uptime_ns) / 1e9 : 0;
  table(streams, same ? streamsOf(before) : new Map(), seconds);
  layerTable(layersOf(report), same ? layersOf(before) : new Map(), seconds);
  sinceTheStart(report);
  before = report;
}

function make(name, attributes = {}, children = [], namespace) {
  const made = namespace ? document.createElementNS(namespace, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const SVG = 'http://www.w3.org/2000/svg';

function card(worker, rate) {
  let found = cards.get(worker.worker);
  if (!found) {
    const value = make('b');
    const bar = make('rect', { height: '8', width: '0' }, [], SVG);
    const load = make('svg', { class: 'load', viewBox: '0 0 100 8', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, [bar], SVG);
    const list = make('dl', { class: 'figures' });
    const spark = make('svg', { class: 'spark' }, [], SVG);
    const title = make('h3', {}, [`Core ${worker.core} `, make('small', {}, [`UDP ${worker.media_port}`])]);
    const share = make('span', {}, [value, ' busy']);
    element('workers').append(make('article', { class: 'card worker' }, [make('header', {}, [title, share]), load, list, spark]));
    found = { value, bar, load, list, spark: new Spark(spark, { most: 0.8 }) };
    cards.set(worker.worker, found);
  }
  const busy = worker.busy_permille / 1_000;
  write(found.value, percent(busy));
  found.bar.setAttribute('width', String(Math.min(100, 100 * busy)));
  found.load.dataset.level = busy >= BUSY.full ? 'full' : busy >= BUSY.high ? 'high' : 'normal';
  found.spark.push(busy);
  const playing = worker.sessions.filter(({ state }) => state === 'connected').length;
  show(found.list, {
    'Headroom': percent(Math.max(0, 1 - busy)),
    'Sessions': worker.handshakes ? `${format.number(playing)} + ${format.number(worker.handshakes)} joining` : format.number(playing),
    'Packets in, out': `${format.number(rate.received)}, ${format.number(rate.packets)} /s`,
    'Sent': format.rate(rate.bits),
    'Segments a message': format.number(rate.segments, 1),
    'Retransmitted': `${format.number(rate.retransmitted)} /s`,
  });
}

/** The encodings of streams that have several of one kind, by stream and name; each worker counts its own viewers. */
function layersOf(report) {
  const found = new Map();
  for (const worker of report.workers) {
    for (const stream of worker.streams) {
      for (const encoding of stream.encodings.filter(({ kind, rid }) => kind === 'video' && rid)) {
        const key = `${stream.name} · ${encoding.rid}`;
        const entry = found.get(key) ?? { key, stream: stream.name, viewers: 0, outBytes: 0, switches: 0, asked: 0, keyFrames: 0, height: 0 };
        found.set(key, entry);
        entry.viewers += encoding.viewers ?? 0;
        entry.switches += encoding.switches ?? 0;
        entry.outBytes += encoding.forwarded.bytes;
        if (!stream.origin) continue;
        const { width, height, alive, frames_per_second: frames, bits_per_second: bits, key_frames: keyFrames, key_frame_requests: asked } = encoding;
        Object.assign(entry, { width, height, alive, frames, bits, keyFrames, asked });
      }
    }
  }
  return found;
}

/** One row for each layer, the largest picture first. Streams without simulcast are not listed: there is nothing to compare. */
function layerTable(layers, then, seconds) {
  const order = (a, b) => a.stream.localeCompare(b.stream) || b.height - a.height || a.key.localeCompare(b.key);
  const rows = [...layers.values()].sort(order).map((layer) => {
    const old = then.get(layer.key);
    const out = old && seconds > 0 ? (8 * (layer.outBytes - old.outBytes)) / seconds : 0;
    return [
      layer.key, format.size(layer), layer.alive ? format.number(layer.frames) : 'paused', format.rate(layer.alive ? layer.bits : 0),
      format.number(layer.viewers), format.rate(out), format.number(layer.switches), format.number(layer.keyFrames), format.number(layer.asked),
    ];
  });
  element('layers-part').hidden = !rows.length;
  fill(element('layers'), rows);
}

/** Writes rows into a table, touching only what changed. */
function fill(body, rows) {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  for (const [index, cells] of rows.entries()) {
    const row = body.rows[index] ?? body.insertRow();
    for (const [column, text] of cells.entries()) write(row.cells[column] ?? row.insertCell(), text);
  }
}

function table(streams, then, seconds) {
  const rows = [...streams.values()].sort((a, b) => b.viewers - a.viewers || a.name.localeCompare(b.name)).map((stream) => {
    const old = then.get(stream.name);
    const rate = (of) => format.rate(old && seconds > 0 ? (8 * (stream[of] - old[of])) / seconds : 0);
    return [
      stream.name, format.number(stream.viewers), [...stream.codecs].join(', ') || '–', rate('inBytes'), rate('outBytes'), format.ms(median(stream.trips)),
      format.share(mean(stream.losses)), format.number(stream.lost), format.number(stream.recovered), format.number(stream.asked),
    ];
  });
  const body = element('table');
  if (!rows.length) {
    if (body.dataset.empty !== 'true') body.replaceChildren(make('tr', {}, [make('td', { colspan: '10' }, ['No stream is published or waited for.'])]));
    body.dataset.empty = 'true';
    return;
  }
  if (body.dataset.empty === 'true') body.replaceChildren();
  body.dataset.empty = 'false';
  fill(body, rows);
}

function sinceTheStart(report) {
  const added = (of) => report.workers.reduce((counts, worker) => {
    for (const [reason, count] of Object.entries(of(worker) ?? {})) counts[reason] = (counts[reason] ?? 0) + count;
    return counts;
  }, {});
  const listed = (counts) => Object.entries(counts).filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1])
    .map(([reason, count]) => `${reason.replaceAll('_', ' ')} ${format.number(count)}`).join(', ') || 'none';
  const residence = report.workers.flatMap((worker) => worker.residence ?? []).filter((each) => each.class === 'delta' && each.viewer === 'last');
  const worst = residence.length ? Math.max(...residence.map((each) => each.p99_us)) / 1_000 : undefined;
  show(element('figures'), {
    'Joins, of them connected': `${format.number(sum(report.workers, (worker) => worker.joins))}, ${format.number(sum(report.workers, (worker) => worker.connected))}`,
    'Viewers that wait for a publisher': format.number(report.waiting_viewers),
    'Sessions ended': listed(added((worker) => worker.ended)),
    'Keys changed, the oldest in use': `${listed(added((worker) => worker.rekeys))}, ${format.time(Math.max(0, ...report.workers.flatMap((worker) => worker.sessions.map((session) => session.key_age_s ?? 0))))}`,
    'Dropped in the node': listed(added((worker) => worker.dropped)),
    'A video packet’s time in the node, 99 %': format.ms(worst),
    'Memory': Number.isFinite(report.resident_memory_bytes) ? `${format.number(report.resident_memory_bytes / 2 ** 20)} MiB` : '–',
    'Announced': report.node.announce?.join(', ') || '–',
  });
}

/** One report; how long it took in milliseconds, or null when nobody may ask. */
async function ask() {
  const from = performance.now();
  const response = await fetch('/api/v1/node', { cache: 'no-store', headers: token.get() ? { authorization: `Bearer ${token.get()}` } : {} });
  if (response.status === 401 || response.status === 403) {
    element('board').hidden = true;
    element('status').dataset.state = 'connecting';
    write('status', 'Locked');
    showRefusal(token.get() ? 'The node does not take this token.' : '');
    element('token-form').hidden = false;
    return null;
  }
  if (!response.ok) throw new Error(`the node answered ${response.status}`);
  paint(await response.json());
  element('board').hidden = false;
  element('token-form').hidden = true;
  showRefusal('');
  return performance.now() - from;
}

function showRefusal(text) { showProblem(text ? { message: text } : null); }

async function run() {
  let wait = EVERY_MS;
  try {
    // A page nobody looks at asks nothing.
    const took = document.hidden ? 0 : await ask();
    if (took === null) return;
    wait = Math.max(EVERY_MS, took / SHARE_OF_TIME);
  } catch (error) {
    before = null;
    element('status').dataset.state = 'silent';
    write('status', 'No answer');
    showRefusal(`The node does not answer: ${error.message}. It is asked again by itself.`);
  }
  setTimeout(run, wait);
}

onToken(run);
run();
