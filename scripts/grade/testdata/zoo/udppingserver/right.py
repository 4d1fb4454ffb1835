# A UDP ping server as a student writes it.
import random
import socket
import sys

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", int(sys.argv[1])))
while True:
    message, address = server.recvfrom(2048)
    if random.randint(0, 10) < 4:
        continue
    server.sendto(message.upper(), address)
