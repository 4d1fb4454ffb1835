# The shape of the handout's task, done in the most direct way, with connect() so
# that the kernel drops what comes from elsewhere.
from socket import *
import sys
import time

clientSocket = socket(AF_INET, SOCK_DGRAM)
clientSocket.connect((sys.argv[1], int(sys.argv[2])))
sequence_number = 1
while sequence_number <= 10:
    start = time.time()
    message = "Ping " + str(sequence_number) + " " + time.ctime(start)
    clientSocket.settimeout(1)
    try:
        clientSocket.send(message.encode())
        reply = clientSocket.recv(1024).decode()
        while reply.split()[1] != str(sequence_number):
            clientSocket.settimeout(max(0.001, start + 1 - time.time()))
            reply = clientSocket.recv(1024).decode()
        elapsed = time.time() - start
        print(reply)
        print("Round trip time: " + str(elapsed) + " seconds")
    except timeout:
        print("Request timed out")
    except ConnectionRefusedError:
        print("Nothing listens on that port")
    sequence_number += 1
clientSocket.close()
