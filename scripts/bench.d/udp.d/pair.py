"""The lab's pair in Python: pair.py server HOST PORT, or pair.py client HOST PORT COUNT."""
import socket
import sys
import time

sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer = sys.argv[2], int(sys.argv[3])
if sys.argv[1] == "server":
    sock.bind(peer)
    while True:
        message, address = sock.recvfrom(1024)
        sock.sendto(message.upper(), address)
sock.settimeout(1)
for sequence in range(1, int(sys.argv[4]) + 1):
    start = time.perf_counter()
    sock.sendto(f"Ping {sequence} {time.time()}".encode(), peer)
    reply, _ = sock.recvfrom(1024)
    print(f"{time.perf_counter() - start:.9f}")
    time.sleep(0.01)
