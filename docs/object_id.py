"""The id of a start, as K8s Manager puts it into the names of Kubernetes objects (`<id>` in a service description).

For jupyterhub_config.py, where the hub must know the address of a server before it runs:

    from object_id import object_id

    def service_address(spawner):
        return f"http://svc-{object_id(spawner.name, spawner.start_id)}.my-namespace.svc:8080"

`python3 object_id.py` reads lines of `["server name", "start id"]` and prints the id of each.
"""

import hashlib
import re

LONGEST = 47
SEPARATOR = "---"
HASH_DIGITS = 12
# What K8s Manager cuts off both ends of a name: white space as Unicode has it. Python's own strip() takes more.
WHITE_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


def object_id(server_name: str, start_id: str) -> str:
    """`<server name>-<start id>` where that is a DNS label of at most 47 characters, else a slug with a hash."""
    server_name, start_id = server_name.strip(WHITE_SPACE), str(start_id).strip(WHITE_SPACE)
    plain = f"{server_name}-{start_id}"
    is_label = re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", plain)
    looks_like_slug = re.fullmatch(rf".*{SEPARATOR}[0-9a-fA-F]{{{HASH_DIGITS}}}", plain)
    if is_label and len(plain) <= LONGEST and not looks_like_slug:
        return plain
    digest = hashlib.sha256(f"{server_name}/{start_id}".encode()).hexdigest()[:HASH_DIGITS]
    readable = re.sub(r"[^a-zA-Z0-9]+", "-", plain).lower().strip("-")
    if not re.match(r"[a-z]", readable):
        readable = f"x-{readable}"
    readable = readable[: LONGEST - len(SEPARATOR) - HASH_DIGITS].rstrip("-")
    return f"{readable}{SEPARATOR}{digest}"


if __name__ == "__main__":
    import json
    import sys

    for line in sys.stdin:
        print(object_id(*json.loads(line)))
