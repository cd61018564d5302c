"""A program in place of ssh that passes so many bytes on, either way, and then is gone: run as

python dropping.py ASKED ANSWERED SSH …: counts are for pushes; -1 means all.
"""

import os
import subprocess
import sys
import threading

asked, answered = (int(each) for each in sys.argv[1:3])
command = sys.argv[3:]
if "receive-pack" not in command[-1]:
    os.execvp(command[0], command)
process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


def ask() -> None:
    left = asked
    while left and (chunk := os.read(0, 1 << 16)):
        passed = chunk if asked < 0 else chunk[:left]
        left -= len(passed)
        process.stdin.write(passed)
    process.stdin.close()
    if asked >= 0:
        process.wait()
        os._exit(255)


threading.Thread(target=ask, daemon=True).start()
left = answered
while chunk := os.read(process.stdout.fileno(), 1 << 16):
    passed = chunk if answered < 0 else chunk[:left]
    left -= len(passed)
    if passed:
        os.write(1, passed)
    if not left:
        process.wait()  # it does what it was asked, and nobody hears of it
        os._exit(255)
os._exit(process.wait())
