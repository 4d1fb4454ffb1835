# A UDP ping client as a student writes it.
import socket
import sys
import time

server = (sys.argv[1], int(sys.argv[2]))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(1, 11):
    message = "Ping %d %f" % (number, time.time())
    start = time.monotonic()
    client.sendto(message.encode(), server)
    while True:
        left = start + 1 - time.monotonic()
        try:
            if left <= 0:
                raise socket.timeout()
            client.settimeout(left)
            reply, sender = client.recvfrom(1024)
        except socket.timeout:
            print("Request timed out")
            break
        except OSError as e:
            print("error:", e)
            break
        rtt = time.monotonic() - start
        words = reply.decode(errors="replace").split()
        if sender == server and len(words) > 1 and words[1] == str(number):
            print(reply.decode(), "RTT = %.6f s" % rtt)
            break
