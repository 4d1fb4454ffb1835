# The shape of the handout's skeleton, filled in: the cache is a folder of files, and
# a file that cannot be opened is a page that is not in the cache.
from socket import *
import hashlib
import os
import sys

if len(sys.argv) <= 1 or not sys.argv[1].isdigit():
    print('Usage: "python ProxyServer.py port"')
    sys.exit(2)

os.makedirs("cache", exist_ok=True)
tcpSerSock = socket(AF_INET, SOCK_STREAM)
tcpSerSock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
tcpSerSock.bind(("", int(sys.argv[1])))
tcpSerSock.listen(10)
while True:
    print("Ready to serve...")
    tcpCliSock, addr = tcpSerSock.accept()
    print("Received a connection from:", addr)
    try:
        message = b""
        while b"\r\n\r\n" not in message:
            more = tcpCliSock.recv(4096)
            if not more:
                raise ValueError("the client has closed")
            message += more
        filename = message.decode("latin-1").split()[1].replace("http://", "", 1).lstrip("/")
        cachefile = "cache/" + hashlib.sha256(filename.encode()).hexdigest()
        try:
            with open(cachefile, "rb") as f:
                tcpCliSock.sendall(f.read())
            print("Read from cache")
        except FileNotFoundError:
            hostn, slash, rest = filename.partition("/")
            c = socket(AF_INET, SOCK_STREAM)
            c.settimeout(8)
            try:
                name, colon, port = hostn.partition(":")
                c.connect((name, int(port or "80")))
                c.sendall(("GET /" + rest + " HTTP/1.0\r\nHost: " + hostn + "\r\n\r\n").encode("latin-1"))
                response = b""
                while True:
                    data = c.recv(4096)
                    if not data:
                        break
                    response += data
                if b" 200 " in response.split(b"\r\n")[0]:
                    with open(cachefile, "wb") as tmpFile:
                        tmpFile.write(response)
                tcpCliSock.sendall(response)
            except (OSError, ValueError):
                tcpCliSock.sendall(b"HTTP/1.0 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<h1>502 Bad Gateway</h1>")
            c.close()
    except (OSError, ValueError, IndexError) as e:
        print("error:", e)
    tcpCliSock.close()
