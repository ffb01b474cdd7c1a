"""Runs code in a new kernel of a user's server, through the hub's proxy, as a notebook does."""

import json
import uuid
from urllib.parse import quote

import requests
import websocket


def execute(hub, user, server, code):
    """The text that `code` prints."""
    base = "/".join(part for part in (f"{hub.url}/user/{quote(user, safe='')}", quote(server, safe=""), "api/kernels") if part)
    started = requests.post(base, headers=hub.authorization(), json={"name": "python3"}, timeout=60)
    assert started.status_code == 201, started.text
    kernel = started.json()["id"]
    channels = f"{base}/{kernel}/channels".replace("http://", "ws://", 1)
    connection = websocket.create_connection(channels, header=hub.authorization(), timeout=60)
    try:
        request = execute_request(code)
        connection.send(json.dumps(request))
        return printed_until_idle(connection, request["header"]["msg_id"])
    finally:
        connection.close()


def execute_request(code):
    return {
        "header": {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": "test", "version": "5.3"},
        "parent_header": {},
        "metadata": {},
        "content": {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True},
        "channel": "shell",
        "buffers": [],
    }


def printed_until_idle(connection, request_id):
    printed = ""
    while True:
        message = json.loads(connection.recv())
        if message.get("parent_header", {}).get("msg_id") != request_id:
            continue
        content = message["content"]
        match message["header"]["msg_type"]:
            case "stream":
                printed += content["text"]
            case "error":
                raise AssertionError("\n".join(content["traceback"]))
            case "status" if content["execution_state"] == "idle":
                return printed
