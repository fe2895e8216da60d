// An HTTP proxy that knows CONNECT alone (RFC 9110 §9.3.6), and says on stdout what it was asked for.
//
//   node connect_proxy.mjs ADDRESS:PORT

import { createServer } from 'node:http';
import { connect } from 'node:net';

const [host, port] = process.argv[2].split(':');
const server = createServer((_, response) => response.writeHead(405).end());
server.on('connect', (request, client, head) => {
  const [to, toPort] = request.url.split(':');
  console.log(`CONNECT ${request.url}`);
  const upstream = connect(Number(toPort), to, () => {
    client.write('HTTP/1.1 200 Connection established\r\n\r\n');
    upstream.write(head);
    upstream.pipe(client).pipe(upstream);
  });
  for (const socket of [client, upstream]) socket.setNoDelay(true);
  upstream.on('error', () => client.destroy());
  client.on('error', () => upstream.destroy());
});
server.listen(Number(port), host, () => console.log('listening'));
