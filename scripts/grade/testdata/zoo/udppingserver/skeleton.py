# The handout's server in its own order: the draw comes first.
from socket import *
import random
import sys

serverSocket = socket(AF_INET, SOCK_DGRAM)
serverSocket.bind(("", int(sys.argv[1])))
while True:
    rand = random.randint(1, 10)
    message, address = serverSocket.recvfrom(1024)
    message = message.upper()
    if rand >= 4:
        serverSocket.sendto(message, address)
