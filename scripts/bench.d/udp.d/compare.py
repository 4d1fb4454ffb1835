"""Compares the RTTs of a udppinger CSV with those of a capture of the same run:
compare.py CAPTURE CSV PORT."""
import csv
import re
import statistics
import struct
import sys

capture, table, port = open(sys.argv[1], "rb").read(), sys.argv[2], int(sys.argv[3])
scale = {0xA1B23C4D: 1, 0xA1B2C3D4: 1000}[struct.unpack("<I", capture[:4])[0]]
sent, came, at = {}, {}, 24
while at < len(capture):
    seconds, fraction, length, _ = struct.unpack("<IIII", capture[at : at + 16])
    packet = capture[at + 16 : at + 16 + length]
    at += 16 + length
    stamp = seconds * 10**9 + fraction * scale
    source, target = struct.unpack(">HH", packet[34:38])
    match = re.match(rb"(?i)ping (\d+) ", packet[42:])
    if not match:
        continue
    if target == port:
        sent.setdefault(int(match[1]), stamp)
    elif source == port:
        came.setdefault(int(match[1]), stamp)
errors, truth = [], []
for row in csv.DictReader(open(table)):
    seq = int(row["seq"])
    if row["verdict"] == "on time" and seq in sent and seq in came:
        truth.append((came[seq] - sent[seq]) / 1000)
        errors.append(int(row["rtt_ns"]) / 1000 - truth[-1])
assert errors, "no packet of the run is in the capture"
sizes = sorted(abs(e) for e in errors)
print(
    f"{len(errors)} pings, median RTT in the capture {statistics.median(truth):.1f}; "
    f"error: median {statistics.median(sizes):.2f}, 99 % under {sizes[int(len(sizes) * 0.99)]:.2f}, "
    f"99.9 % under {sizes[int(len(sizes) * 0.999)]:.2f}"
)
