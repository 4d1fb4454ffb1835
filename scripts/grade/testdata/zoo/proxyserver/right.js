// A caching web proxy as a student writes it in Node, on sockets.
const net = require('net');

const port = Number(process.argv[2]);
if (!(port > 0)) {
  console.log('usage: node right.js PORT');
  process.exit(2);
}
const cache = new Map();

function handle(conn, head) {
  const url = (head.split(' ')[1] || '').replace(/^http:\/\/|^\//, '');
  if (cache.has(url)) {
    console.log('from the cache:', url);
    conn.end(cache.get(url));
    return;
  }
  const slash = (url + '/').indexOf('/');
  const host = url.slice(0, slash);
  const parts = [];
  const [name, number] = host.split(':');
  const origin = net.connect(Number(number || 80), name);
  origin.on('error', (err) => conn.end('HTTP/1.0 502 Bad Gateway\r\nContent-Type: text/plain\r\n\r\n' + err.message));
  origin.on('data', (part) => parts.push(part));
  origin.on('end', () => {
    const response = Buffer.concat(parts);
    if (/^HTTP\/1.. 200/.test(response.toString('latin1', 0, 20))) cache.set(url, response);
    conn.end(response);
  });
  origin.write('GET ' + (url.slice(slash) || '/') + ' HTTP/1.0\r\nHost: ' + host + '\r\n\r\n');
}

net.createServer((conn) => {
  let head = '';
  conn.on('error', () => {});
  conn.on('data', (part) => {
    const whole = head.includes('\r\n\r\n');
    head += part.toString('latin1');
    if (!whole && head.includes('\r\n\r\n')) handle(conn, head);
  });
}).listen(port, () => console.log('Ready to serve...'));
