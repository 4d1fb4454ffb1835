# The shape of the handout's skeleton, filled in: everything stands in one loop, and
# a file that cannot be opened is an exception.
from socket import *
import os
import sys

serverSocket = socket(AF_INET, SOCK_STREAM)
serverSocket.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
serverPort = int(sys.argv[1])
serverSocket.bind(("", serverPort))
serverSocket.listen(1)
here = os.path.realpath(os.curdir)

while True:
    print("Ready to serve...")
    connectionSocket, addr = serverSocket.accept()
    try:
        message = b""
        while b"\r\n\r\n" not in message:
            more = connectionSocket.recv(1024)
            if not more:
                raise IOError("the client has closed")
            message += more
        filename = os.path.realpath(here + message.split()[1].decode())
        if not filename.startswith(here + "/"):
            raise IOError("outside the root")
        f = open(filename, "rb")
        outputdata = f.read()
        f.close()
        kind = "application/octet-stream"
        if filename.endswith(".html"):
            kind = "text/html"
        elif filename.endswith(".png"):
            kind = "image/png"
        elif filename.endswith(".jpg"):
            kind = "image/jpeg"
        header = "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(outputdata))
        connectionSocket.send(header.encode())
        connectionSocket.sendall(outputdata)
        connectionSocket.close()
    except (IOError, IndexError, UnicodeDecodeError, ValueError):
        try:
            page = "<html><body><h1>404 Not Found</h1></body></html>"
            connectionSocket.send(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n" + page.encode())
        except IOError:
            pass
        connectionSocket.close()
