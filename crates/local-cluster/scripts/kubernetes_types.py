"""Writes src/schema/types.txt: the fields of the built-in kinds, with their types and protobuf numbers.

    python3 scripts/kubernetes_types.py <k8s-pb source> <k8s-openapi source> > src/schema/types.txt

The crate k8s-pb has numbers and types, k8s-openapi the exact JSON and Go names; both are made from the Kubernetes
API definitions (Apache-2.0).
"""

import pathlib
import re
import sys

GROUPS = {
    "core": "core", "apps": "apps", "batch": "batch", "networking": "networking.k8s.io",
    "rbac": "rbac.authorization.k8s.io", "policy": "policy", "autoscaling": "autoscaling",
    "coordination": "coordination.k8s.io", "storage": "storage.k8s.io", "scheduling": "scheduling.k8s.io",
    "discovery": "discovery.k8s.io", "authorization": "authorization.k8s.io",
    "authentication": "authentication.k8s.io", "events": "events.k8s.io",
}
ROOTS = """core.v1.Namespace core.v1.Pod core.v1.Service core.v1.ConfigMap core.v1.Secret core.v1.Event
core.v1.ServiceAccount core.v1.PersistentVolumeClaim core.v1.PersistentVolume core.v1.Node core.v1.Endpoints
core.v1.LimitRange core.v1.ResourceQuota core.v1.ReplicationController core.v1.PodTemplate core.v1.Binding
apps.v1.Deployment apps.v1.ReplicaSet apps.v1.StatefulSet apps.v1.DaemonSet apps.v1.ControllerRevision batch.v1.Job
batch.v1.CronJob networking.v1.Ingress networking.v1.NetworkPolicy networking.v1.IngressClass rbac.v1.Role
rbac.v1.RoleBinding rbac.v1.ClusterRole rbac.v1.ClusterRoleBinding policy.v1.PodDisruptionBudget policy.v1.Eviction
autoscaling.v2.HorizontalPodAutoscaler autoscaling.v1.Scale coordination.v1.Lease storage.v1.StorageClass
scheduling.v1.PriorityClass discovery.v1.EndpointSlice authorization.v1.SelfSubjectAccessReview
authorization.v1.SelfSubjectRulesReview authorization.v1.SubjectAccessReview authorization.v1.LocalSubjectAccessReview
authentication.v1.TokenReview authentication.v1.SelfSubjectReview authentication.v1.TokenRequest
meta.v1.DeleteOptions""".split()
SCALARS = {"string": "string", "bool": "bool", "int32": "int32", "int64": "int64", "double": "float64", "bytes": "bytes"}
SPECIAL = {
    "meta.v1.Time": "time", "meta.v1.MicroTime": "time", "resource.Quantity": "quantity",
    "intstr.IntOrString": "intorstring", "runtime.RawExtension": "any", "meta.v1.FieldsV1": "any",
    "meta.v1.Duration": "any",
}


def module_name(path):
    parts = [part for part in path.parts if part not in ("pkg", "mod.rs", "apis", "api", "apimachinery", "util")]
    return ".".join(parts)


def read_messages(root):
    messages = {}
    for path in root.rglob("mod.rs"):
        relative = path.relative_to(root)
        module = module_name(relative)
        current, attribute = None, None
        # Attributes and field types that rustfmt broke over lines are put back on one.
        source = re.sub(r"#\[prost\(\s*([^\]]*?)\s*\)\]",
                        lambda it: "#[prost(" + " ".join(it[1].split()) + ")]", path.read_text())
        source = re.sub(r"pub (r#)?(\w+):\s+([^;{}]*?),\n(?=    (?:///|#\[|pub)|\})",
                        lambda it: f"pub {it[2]}: " + "".join(it[3].split()).replace(",>", ">") + ",\n", source)
        for line in source.splitlines():
            text = line.strip()
            if match := re.match(r"pub struct (\w+) \{", text):
                current = f"{module}.{match[1]}"
                messages[current] = []
            elif text.startswith("#[prost("):
                attribute = text
            elif text == "}" and not line.startswith(" "):
                current = None
            elif current and attribute and (match := re.match(r"pub (?:r#)?(\w+): (.*),$", text)):
                messages[current].append((match[1], attribute, match[2], relative))
                attribute = None
    return messages


def referenced(type_text, relative):
    name = re.findall(r"((?:super::|\w+::)*\w+)>*$", type_text.replace(" ", ""))[0]
    parts = name.split("::")
    if len(parts) == 1:
        return module_name(relative) + "." + parts[0]
    base = list(relative.parts[:-1])
    while parts[0] == "super":
        base, parts = base[:-1], parts[1:]
    return module_name(pathlib.Path(*base, *parts[:-1])) + "." + parts[-1]


def read_json_names(root):
    """Rust field name to JSON name, and the Go name, by lower-cased type name."""
    fields, names = {}, {}
    for path in sorted(root.rglob("*.rs")):
        text = path.read_text(errors="replace")
        for match in re.finditer(r"^pub struct (\w+)\b", text, re.M):
            names.setdefault(match[1].lower(), match[1])
            found = dict(re.findall(r'Field::Key_(\w+),?\n', text) and [
                (rust, json) for json, rust in re.findall(r'"([^"]+)" => Field::Key_(\w+)', text)])
            fields.setdefault(match[1].lower(), {}).update(found)
    return fields, names


def camel(name):
    if name == "u_id":
        return "uid"
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def main():
    pb, openapi = (pathlib.Path(argument) for argument in sys.argv[1:3])
    messages = read_messages(pb)
    fields, names = read_json_names(openapi)
    print("# Made by scripts/kubernetes_types.py from the Kubernetes API definitions (Apache-2.0).")
    print("# A line a type: package, Go name, then field=number:type; [] is a list, % a map of strings to, ~ is embedded.")
    seen, queue = set(), list(ROOTS)
    while queue:
        name = queue.pop(0)
        if name in seen or name in SPECIAL:
            continue
        seen.add(name)
        if name not in messages:
            print("missing", name, file=sys.stderr)
            continue
        package, _, short = name.rpartition(".")
        go_name = names.get(short.lower(), short)
        shown = []
        for field, attribute, type_text, relative in messages[name]:
            number = re.search(r'tag = "(\d+)"', attribute)[1]
            json_name = fields.get(short.lower(), {}).get(field) or camel(field)
            known = fields.get(short.lower(), {})
            if known and field not in known and "message, optional" in attribute:
                # Embedded in Go: its fields stand in the outer object.
                json_name = "~"
            if match := re.search(r'map = "string, (\w+)', attribute):
                prefix, scalar = "%", match[1]
            else:
                prefix = "[]" if "repeated" in attribute else ""
                scalar = re.match(r"#\[prost\((\w+)", attribute)[1]
            if scalar in SCALARS:
                kind = SCALARS[scalar]
            else:
                target = referenced(type_text, relative)
                kind = SPECIAL.get(target, target)
                if target not in SPECIAL:
                    queue.append(target)
                    package_of, _, last = target.rpartition(".")
                    kind = f"{package_of}.{names.get(last.lower(), last)}"
            shown.append(f"{json_name}={number}:{prefix}{kind}")
        print(package, go_name, *shown)


main()
