# A web server as a student writes it: one request at a time.
import os
import socket
import sys
from urllib.parse import unquote

TYPES = {".html": "text/html", ".txt": "text/plain", ".png": "image/png",
         ".jpg": "image/jpeg", ".gif": "image/gif", ".css": "text/css"}
ROOT = os.path.realpath(".")


def receive_head(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        part = conn.recv(1024)
        if not part or len(data) > 65536:
            return None
        data += part
    return data


def respond(conn, status, kind, body):
    head = "HTTP/1.1 " + status + "\r\n"
    head += "Content-Type: " + kind + "\r\n"
    head += "Content-Length: " + str(len(body)) + "\r\n"
    head += "Connection: close\r\n"
    head += "\r\n"
    conn.sendall(head.encode("latin-1") + body)


def handle(conn):
    data = receive_head(conn)
    if data is None:
        return
    words = data.split(b"\r\n")[0].decode("latin-1").split()
    if len(words) != 3:
        respond(conn, "400 Bad Request", "text/html", b"<h1>400 Bad Request</h1>\n")
        return
    path = unquote(words[1].split("?")[0])
    name = os.path.realpath(os.path.join(ROOT, path.lstrip("/")))
    if not name.startswith(ROOT + os.sep) or not os.path.isfile(name):
        respond(conn, "404 Not Found", "text/html", b"<h1>404 Not Found</h1>\n")
        return
    with open(name, "rb") as f:
        body = f.read()
    kind = TYPES.get(os.path.splitext(name)[1], "application/octet-stream")
    respond(conn, "200 OK", kind, body)


server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("", int(sys.argv[1])))
server.listen(5)
print("Ready to serve...")
while True:
    conn, addr = server.accept()
    try:
        conn.settimeout(10)
        handle(conn)
    except (OSError, ValueError) as e:
        print("error:", e)
    finally:
        conn.close()
