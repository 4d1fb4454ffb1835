# The shape of the handout's skeleton, filled in: the addresses and the message are
# in the program, and every step is written out.
from socket import *
import sys
import time

msg = "I love computer networks!\r\n"
endmsg = "\r\n.\r\n"
mailserver = (sys.argv[1], int(sys.argv[2]))
clientSocket = socket(AF_INET, SOCK_STREAM)
clientSocket.connect(mailserver)


def check(code):
    recv = b""
    while not recv.endswith(b"\r\n") or recv.splitlines()[-1][3:4] == b"-":
        more = clientSocket.recv(1024)
        if not more:
            break
        recv += more
    print(recv.decode())
    if recv.splitlines()[-1][:3].decode() != code:
        print(code + " reply not received from server.")
        clientSocket.send(b"QUIT\r\n")
        clientSocket.close()
        sys.exit(1)


check("220")
heloCommand = "HELO Alice\r\n"
clientSocket.send(heloCommand.encode())
check("250")
clientSocket.send("MAIL FROM:<alice@example.test>\r\n".encode())
check("250")
clientSocket.send("RCPT TO:<bob@example.test>\r\n".encode())
check("250")
clientSocket.send("DATA\r\n".encode())
check("354")
header = "From: alice@example.test\r\nTo: bob@example.test\r\nSubject: a lab\r\n"
header += time.strftime("Date: %a, %d %b %Y %H:%M:%S +0000\r\n", time.gmtime())
clientSocket.send((header + "\r\n" + msg).encode())
clientSocket.send(endmsg.encode())
check("250")
clientSocket.send("QUIT\r\n".encode())
check("221")
clientSocket.close()
