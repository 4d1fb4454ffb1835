# A caching web proxy as a student writes it: one client at a time, cache in memory.
import socket
import sys

if len(sys.argv) != 2 or not sys.argv[1].isdigit():
    print("Usage: proxy.py PORT")
    sys.exit(2)
cache = {}


def receive_head(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        part = conn.recv(4096)
        if not part or len(data) > 65536:
            return None
        data += part
    return data


def fetch(host, path):
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port or 80)), timeout=8) as origin:
        request = "GET " + path + " HTTP/1.0\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"
        origin.sendall(request.encode("latin-1"))
        response = b""
        while True:
            part = origin.recv(65536)
            if not part:
                return response
            response += part


def error(conn, status):
    page = "<h1>" + status + "</h1>\n"
    conn.sendall(("HTTP/1.0 " + status + "\r\nContent-Type: text/html\r\n\r\n" + page).encode())


def handle(conn):
    data = receive_head(conn)
    if data is None:
        return
    words = data.split(b"\r\n")[0].decode("latin-1").split()
    if len(words) != 3 or words[0] != "GET":
        error(conn, "501 Not Implemented")
        return
    target = words[1]
    if target.startswith("http://"):
        target = target[7:]
    else:
        target = target[1:]
    host, _, path = target.partition("/")
    path = "/" + path
    url = host + path
    if url in cache:
        print("from the cache:", url)
        conn.sendall(cache[url])
        return
    try:
        response = fetch(host, path)
    except (OSError, ValueError) as e:
        print("error:", e)
        error(conn, "502 Bad Gateway")
        return
    if response.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200")):
        cache[url] = response
    conn.sendall(response)


server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("", int(sys.argv[1])))
server.listen(5)
print("Ready to serve...")
while True:
    conn, addr = server.accept()
    print("connection from", addr)
    try:
        conn.settimeout(10)
        handle(conn)
    except OSError as e:
        print("error:", e)
    finally:
        conn.close()
