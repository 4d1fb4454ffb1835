// A web server as a student writes it in Node, on a socket: HTTP/1.0, one request
// for each connection.
const fs = require('fs');
const net = require('net');
const path = require('path');

const ROOT = fs.realpathSync('.');
const TYPES = {'.html': 'text/html', '.png': 'image/png', '.jpg': 'image/jpeg'};

function respond(conn, status, kind, body) {
  conn.write('HTTP/1.0 ' + status + '\r\nContent-Type: ' + kind + '\r\nContent-Length: ' + body.length + '\r\n\r\n');
  conn.end(body);
}

function handle(conn, head) {
  let name, body;
  try {
    name = fs.realpathSync(path.join(ROOT, decodeURIComponent(head.split(' ')[1])));
    if (!name.startsWith(ROOT + path.sep)) throw new Error('outside the root');
    body = fs.readFileSync(name);
  } catch (err) {
    respond(conn, '404 Not Found', 'text/html', Buffer.from('<h1>404 Not Found</h1>\n'));
    return;
  }
  respond(conn, '200 OK', TYPES[path.extname(name)] || 'application/octet-stream', body);
}

net.createServer((conn) => {
  let head = '';
  conn.on('error', () => {});
  conn.on('data', (part) => {
    const whole = head.includes('\r\n\r\n');
    head += part.toString('latin1');
    if (!whole && head.includes('\r\n\r\n')) handle(conn, head);
  });
}).listen(Number(process.argv[2]), () => console.log('Ready to serve...'));
