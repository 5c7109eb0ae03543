#!/usr/bin/env python3
"""A second QMP client, for tests: qmp_client.py SOCK COMMAND [JSON-ARGUMENTS]... prints each answer's value as JSON, a line each."""
import json
import socket
import sys

sock = socket.socket(socket.AF_UNIX)
sock.settimeout(60)
sock.connect(sys.argv[1])
stream = sock.makefile("rw")
json.loads(stream.readline())


def execute(command, arguments):
    stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    stream.flush()
    while True:
        message = json.loads(stream.readline())
        if "error" in message:
            sys.exit(f"{command}: {message['error']['desc']}")
        if "return" in message:
            return message["return"]


execute("qmp_capabilities", {})
words = sys.argv[2:]
while words:
    command = words.pop(0)
    arguments = json.loads(words.pop(0)) if words and words[0].startswith("{") else {}
    print(json.dumps(execute(command, arguments)))
