// Puts a test into a network of its own: the node in one namespace, this process and its browsers in another, a
// veth pair between them. Loss can then be made on the wire, ports are always free, and Firefox, which never
// pairs 127.0.0.1, has an address to use.
//
//   node namespace  10.77.0.1 ═══ veth ═══ 10.77.0.2  this process, browsers

import { spawnSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

export const NODE_IP = '10.77.0.1';
export const PEER_IP = '10.77.0.2';
/** The node's address of IPv6, where a test has added it. */
export const NODE_IP6 = 'fd77::1';
const PEER_IP6 = 'fd77::2';
/** The node's name in the browsers' network. */
export const NODE_NAME = 'node.corecast.test';
const VARIABLE = 'CORECAST_TEST_NETWORK';

function run(...command) {
  const { status, stderr, stdout, error } = spawnSync(command[0], command.slice(1), { encoding: 'utf8' });
  if (error) throw new Error(`${command[0]}: ${error.message} (tests/run installs what is needed)`);
  if (status !== 0) throw new Error(`${command.join(' ')}: exit ${status}: ${stderr || stdout}`);
  return stdout;
}

/** The name of the node's namespace, once inside. */
export const nodeNamespace = () => process.env[VARIABLE];

/** The command line that runs `command` beside the node. */
export const inNodeNamespace = (...command) => ['ip', 'netns', 'exec', nodeNamespace(), ...command];

function make(node, peer) {
  run('ip', 'netns', 'add', node);
  run('ip', 'netns', 'add', peer);
  run('ip', 'link', 'add', 'node0', 'netns', node, 'type', 'veth', 'peer', 'name', 'peer0', 'netns', peer);
  for (const [namespace, device, own, other] of [[node, 'node0', NODE_IP, PEER_IP], [peer, 'peer0', PEER_IP, NODE_IP]]) {
    run('ip', '-n', namespace, 'link', 'set', 'lo', 'up');
    // A link-local address of IPv6 is usable a second or two after the device is up: to Chromium another network
    // (ERR_NETWORK_CHANGED), just as the first pages are being loaded.
    run('ip', '-n', namespace, 'link', 'set', device, 'addrgenmode', 'none');
    run('ip', '-n', namespace, 'address', 'add', `${own}/24`, 'dev', device);
    run('ip', '-n', namespace, 'link', 'set', device, 'up');
    run('ip', '-n', namespace, 'route', 'add', 'default', 'via', other);
  }
}

/**
 * Call first. Outside, it makes the network, runs this script again inside it, removes the network and exits with
 * the script's status. Inside, it returns.
 */
export async function enter() {
  if (nodeNamespace()) return;
  if (process.getuid() !== 0) throw new Error('network namespaces need root');
  const node = `corecast-node-${process.pid}`;
  const peer = `corecast-peer-${process.pid}`;
  let status = 1;
  try {
    make(node, peer);
    // `ip netns exec` puts these in the place of those in /etc. There is no name server, and nobody shall wait for one.
    mkdirSync(`/etc/netns/${peer}`, { recursive: true });
    const files = { hosts: `127.0.0.1 localhost\n${NODE_IP} ${NODE_NAME}\n`, 'resolv.conf': 'nameserver 127.0.0.1\n', 'nsswitch.conf': 'hosts: files\n' };
    for (const [name, text] of Object.entries(files)) writeFileSync(`/etc/netns/${peer}/${name}`, text);
    const child = spawn('ip', ['netns', 'exec', peer, process.execPath, ...process.argv.slice(1)], {
      stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, [VARIABLE]: node },
    });
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
    status = await new Promise((done) => child.on('exit', (code) => done(code ?? 1)));
  } finally {
    for (const namespace of [node, peer]) spawnSync('ip', ['netns', 'delete', namespace]);
    rmSync(`/etc/netns/${peer}`, { recursive: true, force: true });
  }
  process.exit(status);
}

/** Gives both ends an address of IPv6. Call it once, after `enter()`. */
export function addIpv6() {
  for (const [prefix, device, own] of [[inNodeNamespace(), 'node0', NODE_IP6], [[], 'peer0', PEER_IP6]]) {
    const [command, ...rest] = [...prefix, 'ip', 'address', 'add', `${own}/64`, 'dev', device, 'nodad'];
    run(command, ...rest);
  }
}

/** Makes every packet on the wire a single one, so that a dropped packet is one packet and not a train of them. */
export function disableOffloads() {
  const features = ['gso', 'tso', 'gro', 'tx-udp-segmentation', 'rx-udp-gro-forwarding', 'tx-gso-list', 'rx-gro-list'];
  for (const [prefix, device] of [[inNodeNamespace(), 'node0'], [[], 'peer0']]) {
    for (const feature of features) {
      // Kernels differ in which of these can be changed; the check below is what counts.
      const [command, ...rest] = [...prefix, 'ethtool', '-K', device, feature, 'off'];
      spawnSync(command, rest);
    }
    const [command, ...rest] = [...prefix, 'ethtool', '-k', device];
    const state = run(command, ...rest);
    for (const feature of ['generic-segmentation-offload', 'generic-receive-offload', 'tx-udp-segmentation']) {
      if (new RegExp(`^\\s*${feature}: on`, 'm').test(state)) throw new Error(`${device}: ${feature} is still on`);
    }
  }
}

/**
 * Datagrams that reached the browsers' network and were thrown away there, as a socket's buffer was full: its browser was
 * not let run for long enough. They are no loss of the node's.
 */
export function overruns() {
  const [names, values] = readFileSync('/proc/net/snmp', 'utf8').split('\n').filter((line) => line.startsWith('Udp: ')).map((line) => line.split(' '));
  return Number(values[names.indexOf('RcvbufErrors')]);
}

/**
 * Makes the way from the node a narrow one: so many megabits a second, behind a queue of so many bytes that drops what it has no
 * room for. Call `disableOffloads()` before. Undone by `stop`.
 */
export function narrowDownlink(mbps, queueBytes) {
  const qdisc = (...how) => run(...inNodeNamespace('tc', 'qdisc', ...how));
  // The bucket holds two packets, so that nothing leaves faster than the link.
  qdisc('replace', 'dev', 'node0', 'root', 'tbf', 'rate', `${mbps}mbit`, 'burst', '3200', 'limit', String(queueBytes));
  return {
    dropped: () => Number(/dropped (\d+)/.exec(run(...inNodeNamespace('tc', '-s', 'qdisc', 'show', 'dev', 'node0')))[1]),
    stop: () => qdisc('delete', 'dev', 'node0', 'root'),
  };
}

/**
 * Narrow ways from the node, one for each of the browsers' UDP ports, so that viewers of one browser have links of their own. They
 * are where packets arrive: a queue at the node would be given whole trains, which the kernel cuts apart behind it. Call
 * `disableOffloads()` before.
 */
export class Links {
  #made = 0;

  constructor() {
    run('ip', 'link', 'add', 'link0', 'type', 'ifb');
    run('ip', 'link', 'set', 'link0', 'up');
    // What belongs to no class goes on as it comes.
    run('tc', 'qdisc', 'add', 'dev', 'link0', 'root', 'handle', '1:', 'htb');
    run('tc', 'qdisc', 'add', 'dev', 'peer0', 'ingress');
    run(...'tc filter add dev peer0 ingress protocol ip u32 match ip protocol 17 0xff action mirred egress redirect dev link0'.split(' '));
  }

  /**
   * A link of so many kilobits a second to these ports, behind a queue of so many milliseconds of it that drops what it has no
   * room for.
   */
  add(ports, kbps, { queueMs = 300 } = {}) {
    const id = 10 + this.#made++;
    const shape = (verb, rate) => {
      // A bucket of one packet, so that nothing arrives faster than the link carries it.
      const bucket = ['burst', '1540', 'cburst', '1540'];
      run('tc', 'class', verb, 'dev', 'link0', 'parent', '1:', 'classid', `1:${id}`, 'htb', 'rate', `${rate}kbit`, 'ceil', `${rate}kbit`, ...bucket);
      run('tc', 'qdisc', verb, 'dev', 'link0', 'parent', `1:${id}`, 'handle', `${id}:`, 'bfifo', 'limit', String(Math.round((rate * queueMs) / 8)));
    };
    shape('add', kbps);
    for (const port of ports) run(...`tc filter add dev link0 parent 1: protocol ip u32 match ip protocol 17 0xff match ip dport ${port} 0xffff flowid 1:${id}`.split(' '));
    return {
      set: (rate) => shape('change', rate),
      /** Packets that it carried, and packets that it dropped. */
      carried: () => {
        const [, packets, dropped] = new RegExp(`class htb 1:${id} [^]*?Sent \\d+ bytes (\\d+) pkt \\(dropped (\\d+)`).exec(run('tc', '-s', 'class', 'show', 'dev', 'link0'));
        return { packets: Number(packets), dropped: Number(dropped) };
      },
    };
  }

  stop() {
    run('tc', 'qdisc', 'delete', 'dev', 'peer0', 'ingress');
    run('ip', 'link', 'delete', 'link0');
  }
}

/**
 * Drops a share of single packets, at random: towards a viewer (`to`: its UDP port, dropped as it arrives here) or
 * from a publisher (`from`: its UDP port, dropped as it arrives at the node). Every kind of packet is at risk: media,
 * retransmissions, RTCP and ICE checks alike.
 */
export function startLoss(percent, { to, from }) {
  const prefix = to ? [] : inNodeNamespace();
  const match = to ? `udp dport ${to}` : `udp sport ${from}`;
  const rules = `table inet loss {
    counter seen { }
    counter dropped { }
    chain input {
      type filter hook input priority 0; policy accept;
      ${match} counter name seen
      ${match} numgen random mod 1000 < ${percent * 10} counter name dropped drop
    }
  }`;
  const [command, ...rest] = [...prefix, 'nft', rules];
  run(command, ...rest);
  return {
    count() {
      const [list, ...listRest] = [...prefix, 'nft', '-j', 'list', 'counters', 'table', 'inet', 'loss'];
      const counters = JSON.parse(run(list, ...listRest)).nftables.flatMap((entry) => entry.counter ?? []);
      return Object.fromEntries(counters.map(({ name, packets }) => [name, packets]));
    },
    stop() {
      const [stop, ...stopRest] = [...prefix, 'nft', 'delete', 'table', 'inet', 'loss'];
      run(stop, ...stopRest);
    },
  };
}

/**
 * Drops every UDP packet of the node's, both ways, as a firewall that lets only TCP through; but for those of a peer's port
 * where one is given. Undone by what it returns.
 */
export function dropUdp({ but = 0 } = {}) {
  const [command, ...prefix] = inNodeNamespace();
  run(command, ...prefix, 'nft', `table inet no_udp {
    chain input { type filter hook input priority 0; policy accept; udp sport != ${but} drop; }
    chain output { type filter hook output priority 0; policy accept; udp dport != ${but} drop; }
  }`);
  return () => run(command, ...prefix, 'nft', 'delete', 'table', 'inet', 'no_udp');
}

/**
 * Drops everything between the node and its peers but TLS on its HTTPS port: a connection there whose first bytes are none is
 * cut as well. UDP of one peer's port may stay. Undone by what it returns.
 */
export function onlyTls({ but = 0 } = {}) {
  const [command, ...prefix] = inNodeNamespace();
  // A segment without data is at most 60 bytes long; the first one with data marks its connection.
  run(command, ...prefix, 'nft', `table inet only_tls {
    chain input {
      type filter hook input priority 0; policy drop;
      iif lo accept
      udp sport ${but} accept
      tcp dport 8443 meta length <= 64 accept
      tcp dport 8443 ct mark 1 accept
      tcp dport 8443 @ih,0,8 0x16 ct mark set 1 accept
    }
    chain output {
      type filter hook output priority 0; policy drop;
      oif lo accept
      udp dport ${but} accept
      tcp sport 8443 accept
    }
  }`);
  return () => run(command, ...prefix, 'nft', 'delete', 'table', 'inet', 'only_tls');
}

/**
 * Drops everything between the node and its peers but connections to one TCP port, a proxy's; UDP of one peer's port may stay.
 * Undone by what it returns.
 */
export function onlyPort(port, { but = 0 } = {}) {
  const [command, ...prefix] = inNodeNamespace();
  run(command, ...prefix, 'nft', `table inet only_port {
    chain input { type filter hook input priority 0; policy drop; iif lo accept; udp sport ${but} accept; tcp dport ${port} accept; }
    chain output { type filter hook output priority 0; policy drop; oif lo accept; udp dport ${but} accept; tcp sport ${port} accept; }
  }`);
  return () => run(command, ...prefix, 'nft', 'delete', 'table', 'inet', 'only_port');
}
