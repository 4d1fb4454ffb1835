# A mail client as a student writes it.
import socket
import sys
from email.utils import formatdate

host, port, sender, recipient, subject, body_file = sys.argv[1:7]
sock = socket.create_connection((host, int(port)), timeout=15)
stream = sock.makefile("rb")


def expect(code):
    while True:
        line = stream.readline().decode("latin-1")
        print(line.rstrip())
        if len(line) < 4 or line[3] != "-":
            break
    if not line.startswith(code):
        print(code + " reply not received from server.")
        if code != "221":
            sock.sendall(b"QUIT\r\n")
        sys.exit(1)


def command(line, code):
    sock.sendall(line.encode("latin-1") + b"\r\n")
    expect(code)


expect("220")
command("HELO client.example", "250")
command("MAIL FROM:<" + sender + ">", "250")
command("RCPT TO:<" + recipient + ">", "250")
command("DATA", "354")
lines = ["From: " + sender, "To: " + recipient, "Subject: " + subject, "Date: " + formatdate(), ""]
with open(body_file) as f:
    lines += f.read().split("\n")
for line in lines:
    if line.startswith("."):
        line = "." + line
    sock.sendall(line.encode("latin-1") + b"\r\n")
command(".", "250")
command("QUIT", "221")
sock.close()
